package postgres

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main{Runner: m}) }

func newEngine(tb testing.TB, dsn string) *Engine {
	tb.Helper()
	e, err := Open(tb.Context(), dsn, Options{})
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	return e
}

func closeEngine(tb testing.TB, e *Engine) {
	tb.Helper()
	if err := e.Close(); err != nil {
		tb.Errorf("close: %v", err)
	}
}

// ending yields zeros, and then how it ends.
type ending struct {
	left int
	end  func() error
}

func (e *ending) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, e.end()
	}
	n := min(e.left, len(p))
	clear(p[:n])
	e.left -= n
	return n, nil
}
