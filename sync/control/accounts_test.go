package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/mail"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const address = "ann@agency.example"

var errLost = errors.New("the disk was lost")

// accounts are those of a test: a1 can be exported, and a2 breaks off in the middle.
type accounts struct {
	mu  sync.Mutex
	how []Import
}

func (*accounts) AccountOf(_ context.Context, of string) (string, error) {
	if of != address {
		return "", fmt.Errorf("%w: no mailbox takes the mail for that address", store.ErrNotFound)
	}
	return "a1", nil
}

func (*accounts) Export(_ context.Context, account string, to io.Writer) error {
	switch account {
	case "a1":
		_, err := io.WriteString(to, "the archive")
		return err
	case "a2":
		_, err := io.WriteString(to, strings.Repeat("half", 1<<16))
		return errors.Join(err, errLost)
	case "a3":
		panic("as if it ended")
	}
	return store.ErrNotFound
}

func (a *accounts) Import(_ context.Context, from io.Reader, o Import) (*mail.Imported, error) {
	a.mu.Lock()
	a.how = append(a.how, o)
	a.mu.Unlock()
	first := make([]byte, 7)
	if _, err := io.ReadFull(from, first); err != nil || string(first) == "refused" {
		return nil, errors.Join(archive.ErrResidency, err)
	}
	if _, err := io.Copy(io.Discard, from); err != nil {
		return nil, err
	}
	return &mail.Imported{Manifest: &archive.Manifest{Account: "a1"}, Resumed: 7}, nil
}

func (*accounts) DiscardImport(_ context.Context, account string) error {
	if account != "a1" {
		return mail.ErrNoImport
	}
	return nil
}

// logs is a log that several goroutines write.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// served serves on a socket until the test ends, and returns a client.
func served(t *testing.T, o Options) (c *Client, log *logs) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	log = &logs{}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, o) }()
	c = NewClient(path)
	t.Cleanup(func() {
		c.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return c, log
}

func TestAnAccountIsExportedByIDAndByAddress(t *testing.T) {
	t.Parallel()
	c, log := served(t, Options{Accounts: &accounts{}})
	for _, account := range []string{"a1", address} {
		var out bytes.Buffer
		if err := c.Export(t.Context(), account, &out); err != nil || out.String() != "the archive" {
			t.Errorf("export of %q: %q, %v", account, out.String(), err)
		}
	}
	for _, account := range []string{"a9", "nobody@agency.example"} {
		var out bytes.Buffer
		if err := c.Export(t.Context(), account, &out); !errors.Is(err, ErrRefused) || out.Len() > 0 {
			t.Errorf("export of %q: %q, %v", account, out.String(), err)
		}
	}
	if text := log.String(); strings.Contains(text, "@") || strings.Count(text, "account=a1") != 2 {
		t.Errorf("the log says %s", text)
	}
}

func TestWhatBreaksOffIsNotTakenForComplete(t *testing.T) {
	t.Parallel()
	c, log := served(t, Options{Accounts: &accounts{}})
	var out bytes.Buffer
	err := c.Export(t.Context(), "a2", &out)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not complete") || !strings.Contains(err.Error(), errLost.Error()) {
		t.Errorf("got error %v", err)
	}
	if err := c.Export(t.Context(), "a3", io.Discard); err == nil {
		t.Error("a server that ended is taken for one that was done")
	}
	if !strings.Contains(log.String(), "broke off") {
		t.Errorf("the log says %s", log)
	}
	full := errors.New("no space")
	if err := c.Export(t.Context(), "a1", failing{full}); !errors.Is(err, full) || !strings.Contains(err.Error(), "not complete") {
		t.Errorf("a full disk of the client: got error %v", err)
	}
}

// failing neither reads nor writes.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAnArchiveIsImported(t *testing.T) {
	t.Parallel()
	a := &accounts{}
	c, _ := served(t, Options{Accounts: a})
	out, err := c.Import(t.Context(), strings.NewReader(strings.Repeat("archive", 1<<18)), Import{Home: true})
	if err != nil || out.Resumed != 7 || out.Manifest.Account != "a1" {
		t.Errorf("got %+v, %v", out, err)
	}
	// It is refused while the client still has much to send.
	_, err = c.Import(t.Context(), strings.NewReader(strings.Repeat("refused", 1<<20)), Import{Send: true})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), archive.ErrResidency.Error()) {
		t.Errorf("got error %v", err)
	}
	broke := errors.New("the disk broke")
	if _, err = c.Import(t.Context(), io.MultiReader(strings.NewReader("archive"), failing{broke}), Import{}); err == nil {
		t.Error("half an archive is imported")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.how) < 2 || a.how[0] != (Import{Home: true}) || a.how[1] != (Import{Send: true}) {
		t.Errorf("got %+v", a.how)
	}
}

func TestAnImportIsDiscarded(t *testing.T) {
	t.Parallel()
	c, _ := served(t, Options{Accounts: &accounts{}})
	if err := c.DiscardImport(t.Context(), "a1"); err != nil {
		t.Errorf("got error %v", err)
	}
	if err := c.DiscardImport(t.Context(), "a2"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), mail.ErrNoImport.Error()) {
		t.Errorf("got error %v", err)
	}
}

func TestAServerThatEndsWaitsForItsWorkAndTakesNoMore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	begun, proceed, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		ended <- Serve(ctx, l, Options{Accounts: &accounts{}, Backup: func(context.Context, io.Writer) error {
			close(begun)
			<-proceed
			return nil
		}})
	}()
	c := NewClient(path)
	defer c.Close()
	asked := make(chan error, 1)
	go func() { asked <- c.Backup(t.Context(), io.Discard) }()
	<-begun
	stop()
	select {
	case err := <-ended:
		t.Errorf("the server ended while a backup was made: %v", err)
	default:
	}
	close(proceed)
	if err := errors.Join(<-asked, <-ended); err != nil {
		t.Error(err)
	}
	if err := c.Backup(t.Context(), io.Discard); err == nil {
		t.Error("a server that ended made a backup")
	}
}
