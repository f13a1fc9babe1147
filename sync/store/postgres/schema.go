package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// schemaLock is the advisory lock under which tables are made and changed.
const schemaLock = 0x6261696c_69776963

// migrations lead from an empty database to the present tables, one version each. They are only ever added to.
//
// A key is stored as its owner, the first segment with its terminator, and the rest. No owner is the beginning of
// another one, so that the order by owner and rest is the order of the keys.
var migrations = []string{`
CREATE TABLE bailiwick_kv (
	owner bytea NOT NULL,
	key bytea NOT NULL,
	value bytea NOT NULL,
	PRIMARY KEY (owner, key)
) PARTITION BY HASH (owner);
DO $$ BEGIN
	FOR n IN 0..15 LOOP
		EXECUTE format('CREATE TABLE bailiwick_kv_%s PARTITION OF bailiwick_kv FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 90)', n, n);
	END LOOP;
END $$;
CREATE TABLE bailiwick_object (name text COLLATE "C" PRIMARY KEY, size bigint NOT NULL);
CREATE TABLE bailiwick_chunk (
	name text COLLATE "C" NOT NULL,
	number int NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (name, number)
);
ALTER TABLE bailiwick_chunk ALTER COLUMN data SET STORAGE EXTERNAL;
`}

// minimumVersion is the oldest server version, as server_version_num has it.
const minimumVersion = 150000

// migrate checks the server and brings the tables to the present version. ErrFormat says that a newer version of
// this program was here.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
			return err
		}
		have, err := schemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		if have > len(migrations) {
			return fmt.Errorf("%w: the tables have version %d, this version knows %d: run the version that made them", store.ErrFormat, have, len(migrations))
		}
		for _, migration := range migrations[have:] {
			if _, err := tx.Exec(ctx, migration); err != nil {
				return fmt.Errorf("make tables: %w", err)
			}
		}
		if have == len(migrations) {
			return nil
		}
		_, err = tx.Exec(ctx, "UPDATE bailiwick_schema SET version = $1", len(migrations))
		return err
	})
}

// checkServer refuses a server that is too old or takes no writes.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var readOnly bool
	err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool").Scan(&version, &readOnly)
	if err != nil {
		return err
	}
	return acceptable(version, readOnly)
}

func acceptable(version int, readOnly bool) error {
	switch {
	case version < minimumVersion:
		return &failure{kind: ErrVersion, cause: fmt.Errorf("server_version_num is %d", version)}
	case readOnly:
		return &failure{kind: ErrReadOnly, cause: errors.New("it is in recovery, or default_transaction_read_only is on")}
	default:
		return nil
	}
}

// schemaVersion returns how many migrations were made, and makes the table that records it.
func schemaVersion(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('bailiwick_schema') IS NOT NULL").Scan(&exists); err != nil {
		return 0, err
	}
	if !exists {
		_, err := tx.Exec(ctx, "CREATE TABLE bailiwick_schema (version int NOT NULL); INSERT INTO bailiwick_schema VALUES (0)")
		return 0, err
	}
	err = tx.QueryRow(ctx, "SELECT version FROM bailiwick_schema").Scan(&version)
	return version, err
}
