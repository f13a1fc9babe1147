package postgres

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

// newBenchEngine is an engine on a server that syncs to disk.
func newBenchEngine(b *testing.B) *Engine {
	b.Helper()
	server, err := postgrestest.Start("fsync=on")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	})
	e := newEngine(b, server.DSN("postgres"))
	b.Cleanup(func() { closeEngine(b, e) })
	return e
}

func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d-writers", writers), func(b *testing.B) {
			e := newBenchEngine(b)
			b.SetParallelism(writers)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				n := 0
				for pb.Next() {
					batch := &store.Batch{}
					batch.Set([]byte("k"+strconv.Itoa(n)), make([]byte, 200))
					if err := e.Commit(b.Context(), batch); err != nil {
						b.Error(err)
					}
					n++
				}
			})
		})
	}
}

// BenchmarkUpdate is a commit through the journal with its snapshot, lease, sequence and change log.
func BenchmarkUpdate(b *testing.B) {
	e := newBenchEngine(b)
	j, err := store.NewJournal(e, store.Options{Owner: "bench", Shared: true})
	if err != nil {
		b.Fatal(err)
	}
	var account atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		id := "a" + strconv.FormatInt(account.Add(1), 10)
		for n := 0; pb.Next(); n++ {
			err := j.Update(b.Context(), id, func(tx *store.Tx) error {
				tx.Set(store.NewKey(id).Uint(uint64(n)), make([]byte, 200))
				tx.Changed(store.Change{Type: "Email", ID: strconv.Itoa(n), Kind: store.Created})
				return nil
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	e := newBenchEngine(b)
	prefix := store.NewKey("a")
	batch := &store.Batch{}
	for n := range uint64(10_000) {
		batch.Set(prefix.Uint(n), make([]byte, 200))
	}
	if err := e.Commit(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	b.Run("get", func(b *testing.B) {
		for n := range b.N {
			if _, err := e.Get(b.Context(), prefix.Uint(uint64(n%10_000))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scan-50", func(b *testing.B) {
		for range b.N {
			for _, err := range e.Scan(b.Context(), prefix.Range(), store.ScanOptions{Limit: 50}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
