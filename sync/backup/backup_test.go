package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	virginia = Origin{Cloud: "gcc-high", Region: "regions-gcch/virginia"}
	noon     = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
)

// open opens the store in a folder until the test ends.
func openStore(t *testing.T, dir string) (*pebble.Engine, *store.Blobs) {
	t.Helper()
	if err := Prepare(dir); err != nil {
		t.Fatalf("prepare: %v", err)
	}
	e, err := pebble.Open(t.Context(), dir, pebble.Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e, store.NewBlobs(e, nil)
}

func record(n int64) []byte { return store.NewKey("acc").Uint(uint64(n)) }

// write makes a record that names a blob, of which every other one is too large to lie among the keys.
func writeRecord(ctx context.Context, e store.Engine, blobs *store.Blobs, n int64) error {
	info, err := blobs.Put(ctx, "s", strings.NewReader(strconv.FormatInt(n, 10)+strings.Repeat("x", int(n%2)*100_000)))
	if err != nil {
		return err
	}
	b := &store.Batch{}
	b.Set(record(n), []byte(info.Hash))
	return e.Commit(ctx, b)
}

// backupOf makes a store with some records, and returns a backup of it.
func backupOf(t *testing.T, records int64) []byte {
	t.Helper()
	return backupWith(t, records, nil)
}

// backupWith is backupOf a store with another blob.
func backupWith(t *testing.T, records int64, other []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	e, blobs := openStore(t, dir)
	if other != nil {
		if _, err := blobs.Put(t.Context(), "s", bytes.NewReader(other)); err != nil {
			t.Fatalf("put: %v", err)
		}
	}
	for n := range records {
		if err := writeRecord(t.Context(), e, blobs, n); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
	var out bytes.Buffer
	if err := (Store{Engine: e, Dir: dir, Origin: virginia}).Take(t.Context(), &out, noon); err != nil {
		t.Fatalf("backup: %v", err)
	}
	if left := list(t, dir); cmp.Diff([]string{"kv", "objects"}, left) != "" {
		t.Errorf("the folder has %q after the backup", left)
	}
	return out.Bytes()
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, entry := range entries {
		out = append(out, entry.Name())
	}
	return out
}

func wantRecord(t *testing.T, e store.Engine, blobs *store.Blobs, n int64) {
	t.Helper()
	hash, err := e.Get(t.Context(), record(n))
	if err != nil {
		t.Errorf("record %d is lost: %v", n, err)
		return
	}
	o, err := blobs.Open(t.Context(), "s", string(hash))
	if err != nil {
		t.Errorf("blob of record %d is lost: %v", n, err)
		return
	}
	defer o.Close()
	content, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if want := strconv.FormatInt(n, 10) + strings.Repeat("x", int(n%2)*100_000); err != nil || string(content) != want {
		t.Errorf("blob of record %d has %d octets, want %d: %v", n, len(content), len(want), err)
	}
}

func TestABackupUnderWritesHasAllThatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, blobs := openStore(t, dir)
	const writers = 4
	var told [writers]atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for w := range int64(writers) {
		group.Go(func() {
			for n := w; ; n += writers {
				if err := writeRecord(ctx, e, blobs, n); err != nil {
					if ctx.Err() == nil {
						t.Errorf("write: %v", err)
					}
					return
				}
				told[w].Add(1)
			}
		})
	}
	s := Store{Engine: e, Dir: dir, Origin: virginia}
	var out bytes.Buffer
	var before [writers]int64
	for range 3 {
		for w := range told {
			for start := told[w].Load(); told[w].Load() < start+5 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
		for w := range told {
			before[w] = told[w].Load()
		}
		out.Reset()
		if err := s.Take(t.Context(), &out, noon); err != nil {
			t.Fatalf("backup: %v", err)
		}
	}
	stop()
	group.Wait()
	target := t.TempDir()
	if _, err := Restore(t.Context(), &out, target, virginia, noon); err != nil {
		t.Fatalf("restore: %v", err)
	}
	again, restored := openStore(t, target)
	for w, count := range before {
		for n := range count {
			wantRecord(t, again, restored, int64(w)+n*writers)
		}
	}
	// What came while the backup was made is there wholly or not at all.
	for p, err := range again.Scan(t.Context(), store.NewKey("acc").Range(), store.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := store.CutUint(p.Key[len(store.NewKey("acc")):])
		if err != nil {
			t.Fatal(err)
		}
		wantRecord(t, again, restored, int64(n))
	}
}

func TestARestoreBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	data := backupOf(t, 1)
	var epochs []uint64
	for day := range 2 {
		dir := t.TempDir()
		head, err := Restore(t.Context(), bytes.NewReader(data), dir, virginia, noon.AddDate(0, 0, day))
		if err != nil {
			t.Fatalf("restore: %v", err)
		}
		if head.Created != noon || head.Files < 1 || head.Origin != virginia {
			t.Errorf("got head %+v", head)
		}
		e, _ := openStore(t, dir)
		epoch, err := store.Epoch(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		epochs = append(epochs, epoch)
	}
	if epochs[0] == 0 || epochs[0] >= epochs[1] {
		t.Errorf("got epochs %d", epochs)
	}
}

func TestABackupOfAnotherRegionIsRefused(t *testing.T) {
	t.Parallel()
	data := backupOf(t, 1)
	for _, other := range []Origin{{Cloud: "gcc-high", Region: "regions-gcch/texas"}, {Cloud: "worldwide", Region: "regions-gcch/virginia"}} {
		dir := t.TempDir()
		_, err := Restore(t.Context(), bytes.NewReader(data), dir, other, noon)
		if !errors.Is(err, ErrOrigin) || !strings.Contains(err.Error(), `cloud "gcc-high" and region "regions-gcch/virginia"`) {
			t.Errorf("restore in %+v: got error %v", other, err)
		}
		if left := list(t, dir); len(left) > 0 {
			t.Errorf("the folder has %q", left)
		}
	}
}

func TestARestoreOverAnythingIsRefused(t *testing.T) {
	t.Parallel()
	data := backupOf(t, 1)
	for _, have := range [][]string{{"kv"}, {"kv", "restoring"}, {"objects"}, {"file", "restoring"}, {"kv", "objects"}, {"aaa", "objects", "restoring"}} {
		dir := t.TempDir()
		for _, name := range have {
			if err := os.MkdirAll(filepath.Join(dir, name, "inside"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Restore(t.Context(), bytes.NewReader(data), dir, virginia, noon)
		if !errors.Is(err, ErrNotEmpty) {
			t.Errorf("restore over %q: got error %v", have, err)
		}
		for _, name := range have {
			if _, err := os.Stat(filepath.Join(dir, name, "inside")); err != nil {
				t.Errorf("%q is gone: %v", name, err)
			}
		}
	}
}

func TestARestoreThatBrokeOffIsToldAndCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	data := backupOf(t, 4)
	dir := t.TempDir()
	for _, name := range []string{"lost+found", "objects/o-aa", "restoring/kv"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Prepare(dir); !errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), "restore the backup again") {
		t.Errorf("prepare: got error %v", err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(data), dir, virginia, noon); err != nil {
		t.Fatalf("restore: %v", err)
	}
	e, blobs := openStore(t, dir)
	for n := range int64(4) {
		wantRecord(t, e, blobs, n)
	}
	if left := list(t, dir); cmp.Diff([]string{"kv", "lost+found", "objects"}, left) != "" {
		t.Errorf("the folder has %q", left)
	}
}

// restoring tells a process of these tests to restore a backup from its standard input into its folder.
const restoring = "BAILIWICK_TEST_RESTORING"

// TestRestoringProcess is that process.
func TestRestoringProcess(t *testing.T) {
	if os.Getenv(restoring) == "" {
		t.Skip("it is run by TestARestoreThatWasKilledCanBeMadeAgain")
	}
	if _, err := Restore(t.Context(), os.Stdin, ".", virginia, noon); err != nil {
		t.Fatal(err)
	}
}

// killRestore kills a process while it restores, once it has unpacked a part of the backup.
func killRestore(t *testing.T, data []byte, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRestoringProcess$")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), restoring+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(data); err != nil {
		t.Errorf("write: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if files, err := os.ReadDir(filepath.Join(dir, stagingName, ordered)); err == nil && len(files) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process unpacked nothing in a minute")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

func TestARestoreThatWasKilledCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 8<<20) // more than compression looks at before it yields anything
	rand.NewChaCha8([32]byte{}).Read(noise)
	data, dir := backupWith(t, 4, noise), t.TempDir()
	for _, sent := range []int{len(data) / 2, len(data) - 1} {
		killRestore(t, data[:sent], dir)
		if err := Prepare(dir); !errors.Is(err, ErrUnfinished) {
			t.Errorf("prepare after %d of %d octets: got error %v", sent, len(data), err)
		}
	}
	if _, err := Restore(t.Context(), bytes.NewReader(data), dir, virginia, noon); err != nil {
		t.Fatalf("restore: %v", err)
	}
	e, blobs := openStore(t, dir)
	for n := range int64(4) {
		wantRecord(t, e, blobs, n)
	}
}

// TestARestoreIsToldAtEachStepOfItsEnd breaks a restore off between the steps that make the store appear.
func TestARestoreIsToldAtEachStepOfItsEnd(t *testing.T) {
	t.Parallel()
	data := backupOf(t, 4)
	for step, moved := range [][]string{{}, {objects}, {objects, ordered}} {
		dir := t.TempDir()
		if _, err := Restore(t.Context(), bytes.NewReader(data), dir, virginia, noon); err != nil {
			t.Fatalf("restore: %v", err)
		}
		if err := os.Mkdir(filepath.Join(dir, stagingName), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{objects, ordered}[len(moved):] {
			if err := os.Rename(filepath.Join(dir, part), filepath.Join(dir, stagingName, part)); err != nil {
				t.Fatal(err)
			}
		}
		if complete := len(moved) == 2; !complete {
			if err := Prepare(dir); !errors.Is(err, ErrUnfinished) {
				t.Errorf("step %d: prepare: got error %v", step, err)
			}
			if _, err := Restore(t.Context(), bytes.NewReader(data), dir, virginia, noon); err != nil {
				t.Errorf("step %d: restore again: %v", step, err)
			}
		}
		e, blobs := openStore(t, dir)
		for n := range int64(4) {
			wantRecord(t, e, blobs, n)
		}
	}
}

func TestPrepareRemovesWhatABackupLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"kv", "backup/kv", "restoring"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := Prepare(dir); err != nil {
		t.Fatalf("prepare: %v", err)
	}
	if left := list(t, dir); cmp.Diff([]string{"kv"}, left) != "" {
		t.Errorf("the folder has %q", left)
	}
}

func TestABackupThatBreaksOffLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, blobs := openStore(t, dir)
	if err := writeRecord(t.Context(), e, blobs, 1); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	err := Store{Engine: e, Dir: dir, Origin: virginia}.Take(t.Context(), failing{full}, noon)
	if !errors.Is(err, full) {
		t.Errorf("got error %v", err)
	}
	if left := list(t, dir); cmp.Diff([]string{"kv", "objects"}, left) != "" {
		t.Errorf("the folder has %q", left)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestAnEngineWithoutCheckpointsIsRefused(t *testing.T) {
	t.Parallel()
	e, _ := openStore(t, t.TempDir())
	err := Store{Engine: struct{ store.Engine }{e}, Dir: t.TempDir(), Origin: virginia}.Take(t.Context(), io.Discard, noon)
	if !errors.Is(err, store.ErrNoCheckpoint) {
		t.Errorf("got error %v", err)
	}
}

func TestABackupWithoutTheObjectsOfABucketIsMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, blobs := openStore(t, dir)
	if err := writeRecord(t.Context(), e, blobs, 2); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (Store{Engine: store.WithObjects(e, e.Objects()), Dir: dir, Origin: virginia}).Take(t.Context(), &out, noon); err != nil {
		t.Fatalf("backup: %v", err)
	}
	if head, err := Verify(t.Context(), &out); err != nil || head.Origin != virginia {
		t.Errorf("verify: %v %v", head, err)
	}
}

func TestABackupThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	head := fmt.Sprintf(`{"version":1,"cloud":%q,"region":%q,"created":"2026-11-25T12:00:00Z","files":1,"octets":%d}`, virginia.Cloud, virginia.Region, int64(1)<<60)
	_, err := Restore(t.Context(), pack(t, member{name: FirstMember, content: head}), dir, virginia, noon)
	if !errors.Is(err, ErrSpace) {
		t.Errorf("got error %v", err)
	}
}
