package postgres

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", filepath.Base(program), err, out)
	}
}

// deliver makes an email whose blob is too large to lie among the keys.
func deliver(ctx context.Context, j *store.Journal, blobs *store.Blobs, id string) error {
	info, err := blobs.Put(ctx, "s", strings.NewReader(id+strings.Repeat("x", 100_000)))
	if err != nil {
		return err
	}
	return j.Update(ctx, "acc", func(tx *store.Tx) error {
		tx.Set(store.NewKey("acc").String("email").String(id), []byte(info.Hash))
		tx.Changed(store.Change{Type: "Email", ID: id, Kind: store.Created})
		return nil
	})
}

func newJournal(t *testing.T, e store.Engine) *store.Journal {
	t.Helper()
	j, err := store.NewJournal(e, store.Options{Owner: "sync-0", Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func emailState(t *testing.T, e store.Engine) string {
	t.Helper()
	s, err := store.State(t.Context(), e, "acc", "Email")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestADumpUnderWritesHasAllThatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	from, to := server.Database(t), server.Database(t)
	e := newEngine(t, from)
	j, blobs := newJournal(t, e), store.NewBlobs(e, nil)
	ctx, stop := context.WithCancel(t.Context())
	var told atomic.Int64
	var writers sync.WaitGroup
	writers.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			err := deliver(ctx, j, blobs, fmt.Sprintf("e%04d", n))
			if err == nil {
				told.Add(1)
			} else if ctx.Err() == nil {
				t.Errorf("deliver: %v", err)
				return
			}
		}
	})
	eventually(t, "emails are delivered", func() bool { return told.Load() >= 5 || t.Failed() })
	before := told.Load()
	file := filepath.Join(t.TempDir(), "mail.dump")
	run(t, server.Program("pg_dump"), "--format=custom", "--file="+file, "--dbname="+from)
	eventually(t, "more emails are delivered", func() bool { return told.Load() >= before+5 || t.Failed() })
	stop()
	writers.Wait()
	lost := emailState(t, e)
	closeEngine(t, e)

	run(t, server.Program("pg_restore"), "--exit-on-error", "--dbname="+to, file)
	again := newEngine(t, to)
	defer closeEngine(t, again)
	if _, err := store.BeginEpoch(t.Context(), again, time.Now()); err != nil {
		t.Fatalf("begin epoch: %v", err)
	}
	restored := store.NewBlobs(again, nil)
	count := 0
	for p, err := range again.Scan(t.Context(), store.NewKey("acc").String("email").Range(), store.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		o, err := restored.Open(t.Context(), "s", string(p.Value))
		if err != nil {
			t.Fatalf("blob of email %d: %v", count, err)
		}
		if o.Size() != 100_005 {
			t.Errorf("blob of email %d has %d octets", count, o.Size())
		}
		count++
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
	if int64(count) < before {
		t.Errorf("%d emails are there of %d that were acknowledged before", count, before)
	}
	known := emailState(t, again)
	if known == lost {
		t.Fatalf("nothing was lost: state %q", known)
	}
	// The account grows past what its clients have seen.
	j = newJournal(t, again)
	for n := range told.Load() {
		if err := deliver(t.Context(), j, restored, fmt.Sprintf("f%04d", n)); err != nil {
			t.Fatalf("deliver: %v", err)
		}
	}
	if _, err := store.ChangesSince(t.Context(), again, "acc", "Email", lost, 0); !errors.Is(err, store.ErrTooOld) {
		t.Errorf("changes since a lost state: got error %v", err)
	}
	changes, err := store.ChangesSince(t.Context(), again, "acc", "Email", known, 0)
	if err != nil || int64(len(changes.Created)) != told.Load() {
		t.Errorf("changes since the dump: %d created of %d, %v", len(changes.Created), told.Load(), err)
	}
}
