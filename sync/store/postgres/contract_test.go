package postgres

import (
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
	"github.com/bailiwick-dev/bailiwick/sync/store/storetest"
)

// TestEngineKeepsTheContract runs the contract on a server of its own, which is killed where a crash is asked for.
func TestEngineKeepsTheContract(t *testing.T) {
	t.Parallel()
	server, err := postgrestest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	homes := map[store.Engine]string{}
	storetest.Run(t, storetest.Factory{
		Open: func(t *testing.T) store.Engine {
			dsn := server.Database(t)
			e := newEngine(t, dsn)
			homes[e] = dsn
			return e
		},
		Reopen: func(t *testing.T, e store.Engine) store.Engine {
			server.Kill()
			if err := server.Run(); err != nil {
				t.Fatal(err)
			}
			return newEngine(t, homes[e])
		},
	})
}
