package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout bounds the making of a connection to one host.
	connectTimeout = 5 * time.Second
	// operationTimeout bounds one operation, waiting for a connection included.
	operationTimeout = 30 * time.Second
	// cancelDelay is how long the server has to end a query whose context ended, before the connection is given up.
	cancelDelay = 2 * time.Second
)

// sessionSettings fit every connection to how the tables are read: each query names an owner and walks one index.
// What the planner could do instead reads whole tables, and it would choose so on statistics that are old. Commits
// are durable whatever the server's default is; a stricter default stays.
const sessionSettings = `
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')`

// CheckDSN says what is wrong with a DSN, without repeating it: it holds a password.
func CheckDSN(dsn string) error {
	_, err := parseDSN(dsn)
	return err
}

// parseDSN reads a DSN and refuses one by which data could travel unencrypted, or to a server that is not known.
func parseDSN(dsn string) (*pgxpool.Config, error) {
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("the DSN is empty: write it as postgres://user:password@host/database?sslmode=verify-full")
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The reason would repeat parts of the DSN.
		return nil, errors.New("the DSN cannot be read: write it as postgres://user:password@host/database?sslmode=verify-full&sslrootcert=/path, and check that the certificate is there")
	}
	conn := config.ConnConfig
	if err := secure(conn.Host, conn.TLSConfig); err != nil {
		return nil, err
	}
	for _, fallback := range conn.Fallbacks {
		if err := secure(fallback.Host, fallback.TLSConfig); err != nil {
			return nil, err
		}
	}
	conn.ConnectTimeout = connectTimeout
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "bailiwick"
	}
	conn.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelDelay}
	}
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, sessionSettings).ReadAll()
		return err
	}
	return config, nil
}

// secure accepts a host on this machine, and any other with TLS 1.2 or later that checks its name.
func secure(host string, config *tls.Config) error {
	if config != nil {
		config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	}
	if local(host) || (config != nil && !config.InsecureSkipVerify && config.ServerName != "") {
		return nil
	}
	return fmt.Errorf("the DSN lets the connection to host %q be weaker than sslmode=verify-full: set sslmode=verify-full, and sslrootcert for a CA of your own", host)
}

// local says whether a host is a Unix socket or a loopback address.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback()
}
