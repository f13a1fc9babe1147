package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
	"github.com/bailiwick-dev/bailiwick/sync/store/storetest"
)

// bound is how long a test waits for what must happen.
const bound = 2 * time.Minute

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestWeakDSNsAreRefused(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"host=db.example sslmode=verify-full":                     "",
		"postgres://u:p@db.example:5433/mail?sslmode=verify-full": "",
		"host=/var/run/postgresql user=u":                         "",
		"host=127.0.0.1 sslmode=disable":                          "",
		"postgres://u@[::1]/mail?sslmode=disable":                 "",
		"host=localhost":                                          "",
		"host=db.example":                                         "verify-full",
		"host=db.example sslmode=disable":                         "verify-full",
		"host=db.example sslmode=require":                         "verify-full",
		"host=db.example sslmode=verify-ca":                       "verify-full",
		"host=db.example sslmode=prefer":                          "verify-full",
		"postgres://u:geheim@a.example,b.example/m?sslmode=allow": "verify-full",
		"host=127.0.0.1,db.example sslmode=disable":               `host "db.example"`,
		"":                                 "the DSN is empty",
		"host=db.example password='geheim": "cannot be read",
		"postgres://u:geheim@%zz/m":        "cannot be read",
		"host=db.example sslmode=verify-full sslrootcert=/none/geheim": "cannot be read",
	} {
		err := CheckDSN(dsn)
		if (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("DSN %q: got error %v, want %q", dsn, err, want)
		}
	}
	config, err := parseDSN("host=db.example sslmode=verify-full")
	if err != nil || config.ConnConfig.TLSConfig.MinVersion < 0x0303 {
		t.Errorf("TLS may be older than 1.2: %v", err)
	}
}

func TestServerIsAcceptedFromVersion15(t *testing.T) {
	t.Parallel()
	if err := acceptable(150000, false); err != nil {
		t.Errorf("version 15: %v", err)
	}
	if err := acceptable(140012, false); !errors.Is(err, ErrVersion) {
		t.Errorf("version 14: %v", err)
	}
	if err := acceptable(170000, true); !errors.Is(err, ErrReadOnly) {
		t.Errorf("standby: %v", err)
	}
}

func TestErrorsHaveTheirMeaning(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{
		"28P01": ErrAuthentication, "28000": ErrAuthentication, "53100": ErrDiskFull, "25006": ErrReadOnly, "57P01": ErrUnreachable,
		"57P03": ErrUnreachable, "53300": ErrUnreachable, "08006": ErrUnreachable, "3D000": ErrUnreachable, "57014": store.ErrUnavailable,
		"55P03": store.ErrUnavailable, "40001": store.ErrUnavailable, "23502": store.ErrInvalid, "54000": store.ErrInvalid,
	} {
		err := classify(fmt.Errorf("commit: %w", &pgconn.PgError{Code: code, Message: "m"}))
		if !errors.Is(err, want) || errors.Is(err, store.ErrUnavailable) == errors.Is(want, store.ErrInvalid) {
			t.Errorf("code %s: got error %v", code, err)
		}
	}
	if err := classify(&pgconn.PgError{Code: "42P01"}); errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a defect of ours counts as unavailable: %v", err)
	}
	if got := meaning(&failure{kind: ErrAuthentication, cause: errors.New("user=u host=h")}); strings.Contains(got.Error(), "user=u") {
		t.Errorf("the meaning tells %q", got)
	}
}

func TestDatabaseThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	readOnly := server.Database(t)
	name := readOnly[strings.LastIndex(readOnly, "=")+1:]
	server.Exec(t, "postgres", "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	newer := server.Database(t)
	server.Exec(t, newer[strings.LastIndex(newer, "=")+1:], "CREATE TABLE bailiwick_schema (version int); INSERT INTO bailiwick_schema VALUES (99)")
	for _, c := range []struct {
		name, dsn string
		want      error
	}{
		{"password", fmt.Sprintf("host=127.0.0.1 port=%d user=bailiwick password=wrong dbname=postgres sslmode=disable", server.Port), ErrAuthentication},
		{"no server", "host=/nowhere", ErrUnreachable},
		{"no database", server.DSN("nowhere"), ErrUnreachable},
		{"read-only", readOnly, ErrReadOnly},
		{"newer", newer, store.ErrFormat},
	} {
		_, err := Open(t.Context(), c.dsn, Options{})
		if !errors.Is(err, c.want) || strings.Contains(fmt.Sprint(err), "wrong") {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
	}
}

func TestProcessesOpenANewDatabaseTogether(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Shared(t).Database(t)
	opened := make(chan *Engine)
	for range 4 {
		go func() {
			e, err := Open(t.Context(), dsn, Options{MaxConns: 4})
			if err != nil {
				t.Errorf("open: %v", err)
			}
			opened <- e
		}()
	}
	for range 4 {
		if e := <-opened; e != nil {
			closeEngine(t, e)
		}
	}
}

// TestProcessesOpenAnOldDatabaseTogether leaves the format as it is, for processes of an earlier version.
func TestProcessesOpenAnOldDatabaseTogether(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Shared(t).Database(t)
	old := newEngine(t, dsn)
	storetest.LoadFormatOne(t, old)
	closeEngine(t, old)
	opened := make(chan *Engine)
	for range 4 {
		go func() {
			e, err := Open(t.Context(), dsn, Options{MaxConns: 4})
			if err != nil {
				t.Errorf("open: %v", err)
			}
			opened <- e
		}()
	}
	for range 4 {
		if e := <-opened; e != nil {
			storetest.CheckFormatOne(t, e)
			closeEngine(t, e)
		}
	}
}

func TestHintsCrossProcesses(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	dsn := server.Database(t)
	one, two := newEngine(t, dsn), newEngine(t, dsn)
	defer closeEngine(t, one)
	defer closeEngine(t, two)
	long := strings.Repeat("x", 3000)
	topics := []string{"a", "topic with spaces", "ü\x00\xff", long, long + "2", long + "3"}
	var channels []<-chan struct{}
	for _, topic := range topics {
		hints, cancel := two.Hints().Listen(topic)
		defer cancel()
		channels = append(channels, hints)
	}
	quietHints, cancel := two.Hints().Listen("quiet")
	defer cancel()
	for _, topic := range append(topics, strings.Repeat("y", maxPayload)) {
		if err := one.Hints().Publish(t.Context(), topic); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
	for i, hints := range channels {
		receive(t, fmt.Sprintf("topic %d", i), hints)
	}
	select {
	case <-quietHints:
		t.Error("a hint came for a topic that nobody published")
	default:
	}
}

func receive(t *testing.T, what string, hints <-chan struct{}) {
	t.Helper()
	select {
	case <-hints:
	case <-time.After(bound):
		t.Fatalf("%s: no hint came", what)
	}
}

func TestListenersAreWokenWhenHintsMayBeLost(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	dsn := server.Database(t)
	name := dsn[strings.LastIndex(dsn, "=")+1:]
	e := newEngine(t, dsn)
	defer closeEngine(t, e)
	hints, cancel := e.Hints().Listen("a")
	defer cancel()
	for range 2 {
		server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"' AND query LIKE 'LISTEN%'")
		receive(t, "after the connection broke", hints)
	}
	other := newEngine(t, dsn)
	defer closeEngine(t, other)
	if err := other.Hints().Publish(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	receive(t, "on the new connection", hints)
}

func TestForgottenSnapshotsEnd(t *testing.T) {
	t.Parallel()
	e, err := Open(t.Context(), postgrestest.Shared(t).Database(t), Options{MaxConns: 4, SnapshotLifetime: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	// More than there are connections: each that ends makes room.
	var snapshots []store.Snapshot
	for range 5 {
		s, err := e.Snapshot(t.Context())
		if err != nil {
			t.Fatalf("snapshot: %v", err)
		}
		snapshots = append(snapshots, s)
	}
	for _, s := range snapshots {
		eventually(t, "the snapshot ends", func() bool {
			_, err := s.Get(t.Context(), []byte("k"))
			return errors.Is(err, store.ErrUnavailable)
		})
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	closeEngine(t, e)
}

func TestWaitingForASnapshotEndsWithItsContext(t *testing.T) {
	t.Parallel()
	e, err := Open(t.Context(), postgrestest.Shared(t).Database(t), Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e)
	for range 2 {
		s, err := e.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := e.Snapshot(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	b := &store.Batch{}
	b.Set([]byte("k"), nil)
	if err := e.Commit(t.Context(), b); err != nil {
		t.Errorf("commit beside snapshots: %v", err)
	}
}

func TestTroubleIsToldUntilACommitSucceeds(t *testing.T) {
	t.Parallel()
	e := newEngine(t, postgrestest.Shared(t).Database(t))
	defer closeEngine(t, e)
	if err := e.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	e.note(&failure{kind: ErrDiskFull, cause: errors.New("no space")})
	if !e.troubled.Load() {
		t.Error("a full disk is no trouble")
	}
	if err := e.Ready(t.Context()); err != nil || e.troubled.Load() {
		t.Errorf("after a commit succeeded: %v", err)
	}
	if size, err := e.Size(t.Context()); err != nil || size <= 0 {
		t.Errorf("size %d, %v", size, err)
	}
}

func TestCommitsAreDurableWhateverTheServerSays(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	for setting, want := range map[string]string{"off": "on", "local": "on", "remote_write": "on", "remote_apply": "remote_apply"} {
		dsn := server.Database(t)
		server.Exec(t, "postgres", "ALTER DATABASE "+dsn[strings.LastIndex(dsn, "=")+1:]+" SET synchronous_commit = "+setting)
		e := newEngine(t, dsn)
		var got string
		if err := e.work.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != want {
			t.Errorf("server says %q: commits are %q, want %q: %v", setting, got, want, err)
		}
		closeEngine(t, e)
	}
}

func TestRemainsOfAnUploadAreRemoved(t *testing.T) {
	t.Parallel()
	e := newEngine(t, postgrestest.Shared(t).Database(t))
	defer closeEngine(t, e)
	broken := errors.New("broken")
	_, err := e.Objects().Write(t.Context(), "half", &ending{left: 3 * chunkSize, end: func() error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("write: %v", err)
	}
	var left int
	if err := e.work.QueryRow(t.Context(), "SELECT count(*) FROM bailiwick_chunk").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d chunks are left: %v", left, err)
	}
	_, err = e.Objects().Write(t.Context(), "holed", &ending{left: 3 * chunkSize, end: func() error {
		if _, err := e.work.Exec(t.Context(), "DELETE FROM bailiwick_chunk WHERE number = 1"); err != nil {
			return err
		}
		return io.EOF
	}})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("an object with a hole: %v", err)
	}
}

func TestServerStarterLeavesNothing(t *testing.T) {
	t.Parallel()
	server, err := postgrestest.Start()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(server.Dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), server.DSN("postgres")); err == nil {
		t.Error("the server answers")
	}
}

func FuzzKeysKeepTheirOrder(f *testing.F) {
	for _, pair := range [][2]string{{"a", "a\x00k"}, {"a\x00", "a\x00\x00"}, {"", "\x00"}, {"acc\x00b", "acc\x01"}} {
		f.Add([]byte(pair[0]), []byte(pair[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ownerA, restA := split(a)
		ownerB, restB := split(b)
		got := cmp.Or(bytes.Compare(ownerA, ownerB), bytes.Compare(restA, restB))
		if want := bytes.Compare(a, b); got != want {
			t.Errorf("keys %q and %q compare as %d, want %d", a, b, got, want)
		}
		if r := (store.Range{Start: a, End: b}); within(ownerA, r) && bytes.Compare(a, b) < 0 && r.Contains(b[:max(len(b)-1, 0)]) && !bytes.HasPrefix(b[:len(b)-1], ownerA) {
			t.Errorf("range from %q to %q is not of one owner", a, b)
		}
	})
}

func FuzzDSNsAreNotRepeated(f *testing.F) {
	for _, seed := range []string{"host=a sslmode=require", "postgres://u:p@h/d", "host=127.0.0.1", "postgres://[::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		if err := CheckDSN("password=geheim " + dsn); err != nil && strings.Contains(err.Error(), "geheim") && !strings.Contains(dsn, "geheim") {
			t.Errorf("the error repeats the password: %v", err)
		}
	})
}
