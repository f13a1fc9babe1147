package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves backups on a socket until stop, or the end of the test.
func serve(t *testing.T, backup func(ctx context.Context, to io.Writer) error) (c *Client, stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, Options{Backup: backup}) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	c = NewClient(path)
	t.Cleanup(c.Close)
	return c, stop
}

func TestABackupArrivesAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("backup", 100_000)
	c, _ := serve(t, func(_ context.Context, to io.Writer) error {
		_, err := io.WriteString(to, want)
		return err
	})
	for range 2 {
		var got bytes.Buffer
		if err := c.Backup(t.Context(), &got); err != nil || got.String() != want {
			t.Errorf("got %d octets of %d, error %v", got.Len(), len(want), err)
		}
	}
}

func TestARefusalIsTold(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(context.Context, io.Writer) error {
		return fmt.Errorf("backup: %w: use pg_dump", store.ErrNoCheckpoint)
	})
	err := c.Backup(t.Context(), io.Discard)
	if !errors.Is(err, ErrRefused) || err.Error() != "refused: backup: the store cannot be copied from here: use pg_dump" {
		t.Errorf("got error %v", err)
	}
}

func TestABackupThatBreaksOffIsNotTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(_ context.Context, to io.Writer) error {
		_, err := io.WriteString(to, "the beginning")
		return errors.Join(err, errors.New("disk\nfull"))
	})
	err := c.Backup(t.Context(), io.Discard)
	if !errors.Is(err, ErrRefused) || err.Error() != "what was written is not complete: refused: disk\nfull" {
		t.Errorf("got error %v", err)
	}
}

func TestABackupOfAServerThatEndsIsNotTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	begun, over := make(chan struct{}), make(chan struct{})
	c, stop := serve(t, func(ctx context.Context, to io.Writer) error {
		defer close(over)
		close(begun)
		<-ctx.Done()
		_, err := io.WriteString(to, "the beginning")
		return errors.Join(err, ctx.Err())
	})
	failed := make(chan error, 1)
	go func() { failed <- c.Backup(context.Background(), io.Discard) }()
	<-begun
	stop()
	select {
	case <-over:
	default:
		t.Error("the server ended before the backup")
	}
	if err := <-failed; err == nil {
		t.Error("the backup is told to be complete")
	}
}

func TestOnlyOneBackupIsMadeAtATime(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	c, _ := serve(t, func(context.Context, io.Writer) error {
		close(begun)
		<-release
		return nil
	})
	first := make(chan error, 1)
	go func() { first <- c.Backup(context.Background(), io.Discard) }()
	<-begun
	if err := c.Backup(t.Context(), io.Discard); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), errBusy.Error()) {
		t.Errorf("got error %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("backup: %v", err)
	}
}

func TestOnlyTheUserOfTheServerCanOpenTheSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	// The second one replaces what the first one left.
	for range 2 {
		l, err := Listen(t.Context(), path)
		if err != nil {
			t.Fatalf("listen: %v", err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("got mode %v, error %v", info.Mode(), err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, error %v", entries, err)
	}
}

func TestASocketThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file: "there is something that is no socket: choose another path",
		filepath.Join(dir, strings.Repeat("x", maxPath)): "choose a shorter one",
		filepath.Join(dir, "absent", "s"):                "no such file",
	} {
		if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("listen on %q: got error %v", path, err)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "kept" {
		t.Errorf("the file has %q, error %v", data, err)
	}
}

func TestASocketThatNobodyServesIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	c := NewClient(filepath.Join(t.TempDir(), "absent"))
	defer c.Close()
	err := c.Backup(t.Context(), io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "--control-socket: ") || !strings.Contains(err.Error(), "give the path that the server was started with") {
		t.Errorf("got error %v", err)
	}
}
