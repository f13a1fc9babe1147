// Package control lets an operator of the machine, and nobody else, ask a running sync server for what no client may:
// archives of accounts, and backups of its store. It is served on a Unix socket that only the user of the server can
// open. There is no port and no token for it: who may run a program in the pod may use it.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/mail"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// maxPath is the most octets in the path of a socket: what the system takes, less the folder in which it is made.
const maxPath = 107 - len("/.4294967295/s")

// drain is how long work goes on when the server is to end. An import can be continued later.
const drain = 5 * time.Second

// errBusy says that a backup is being made already.
var errBusy = errors.New("a backup is being made already: wait for its end")

// errEnding says that the server takes no more work.
var errEnding = errors.New("the server is about to end: ask it again when it runs")

// errBroke says that the client went away while it was sending.
var errBroke = errors.New("the connection broke")

// The names of what a stream ends with: why it broke off, or that it is complete.
const (
	trailerError    = "Bailiwick-Error"
	trailerComplete = "Bailiwick-Complete"
)

// Accounts exports and imports accounts.
type Accounts interface {
	// AccountOf returns the account that takes the mail for an address.
	AccountOf(ctx context.Context, address string) (account string, err error)
	// Export writes an archive of an account.
	Export(ctx context.Context, account string, to io.Writer) error
	// Import makes an account from an archive.
	Import(ctx context.Context, from io.Reader, o Import) (*mail.Imported, error)
	// DiscardImport removes what an import that did not end left behind.
	DiscardImport(ctx context.Context, account string) error
}

// Import says how an archive is imported.
type Import struct {
	// Home says that the home region of a mailbox whose archive is of another one is this one now.
	Home bool
	// Send says that what waited to be sent when the archive was written is sent from here.
	Send bool
}

// Options are what a server serves.
type Options struct {
	// Accounts exports and imports.
	Accounts Accounts
	// Backup writes a backup of the store.
	Backup func(ctx context.Context, to io.Writer) error
	// Logger takes what was done; nil discards it.
	Logger *slog.Logger
}

// Listen makes a socket that only the user of this process can open. One that an earlier process left is replaced.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("control socket %q: its path has more than %d octets: choose a shorter one", path, maxPath)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("control socket %q: there is something that is no socket: choose another path", path)
	}
	// It is made in a folder of its own, so that there is no moment in which others could open it.
	private, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	made := filepath.Join(private, "s")
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", made)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), os.Remove(private))
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close(), os.RemoveAll(private))
	}
	return l, os.Remove(private)
}

// Serve answers on a socket until the context ends.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{options: o, backup: make(chan struct{}, 1)}
	h := &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := h.Shutdown(wait)
	if err != nil {
		err = h.Close()
	}
	// What is read or written must be there until the end of those who do; none begins from here on.
	s.working.Lock()
	return errors.Join(err, hideClosed(<-ended))
}

// hideClosed takes the end of a server that was told to end for none.
func hideClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// server answers requests.
type server struct {
	options Options
	// working is held for reading by each request, and for writing once the server ends.
	working sync.RWMutex
	// backup is full while a backup is made.
	backup chan struct{}
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /export": s.export, "POST /import": s.imports, "POST /discard": s.discard, "GET /backup": s.backups,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !s.working.TryRLock() {
				s.refuse(r.Context(), w, errEnding)
				return
			}
			defer s.working.RUnlock()
			serve(w, r)
		})
	}
	return mux
}

func (s *server) export(w http.ResponseWriter, r *http.Request) {
	account := r.URL.Query().Get("account")
	if strings.Contains(account, "@") {
		var err error
		if account, err = s.options.Accounts.AccountOf(r.Context(), account); err != nil {
			s.refuse(r.Context(), w, err)
			return
		}
	}
	s.stream(w, r, s.options.Logger.With(slog.String("action", "export"), slog.String("account", account)),
		func(ctx context.Context, to io.Writer) error { return s.options.Accounts.Export(ctx, account, to) })
}

func (s *server) backups(w http.ResponseWriter, r *http.Request) {
	select {
	case s.backup <- struct{}{}:
	default:
		s.refuse(r.Context(), w, errBusy)
		return
	}
	defer func() { <-s.backup }()
	s.stream(w, r, s.options.Logger.With(slog.String("action", "backup")), s.options.Backup)
}

// stream answers with what is written, and ends with whether that is complete.
func (s *server) stream(w http.ResponseWriter, r *http.Request, logger *slog.Logger, write func(ctx context.Context, to io.Writer) error) {
	w.Header().Set("Trailer", trailerError+", "+trailerComplete)
	out := &begun{ResponseWriter: w}
	err := write(r.Context(), out)
	switch {
	case err != nil && !out.yes:
		w.Header().Del("Trailer")
		s.refuse(r.Context(), w, err)
	case err != nil:
		logger.WarnContext(r.Context(), "broke off", slog.Any("error", err))
		w.Header().Set(trailerError, strconv.QuoteToASCII(err.Error()))
	default:
		logger.InfoContext(r.Context(), "written")
		w.Header().Set(trailerComplete, "true")
	}
}

// begun is a response that knows whether anything was written.
type begun struct {
	http.ResponseWriter

	yes bool
}

// Write writes.
func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(p)
}

// body is what a client sends. A connection that breaks is not taken for the end.
type body struct{ from io.Reader }

// Read reads.
func (b body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errBroke, hide(err))
	}
	return n, err
}

// hide keeps an unexpected end from being taken for that of an archive.
func hide(err error) error { return errors.New(err.Error()) }

func (s *server) imports(w http.ResponseWriter, r *http.Request) {
	// A refusal is told while the client still sends.
	c := http.NewResponseController(w)
	if err := c.EnableFullDuplex(); err != nil {
		s.refuse(r.Context(), w, err)
		return
	}
	query := r.URL.Query()
	out, err := s.options.Accounts.Import(r.Context(), body{r.Body}, Import{Home: query.Get("home") == "true", Send: query.Get("send") == "true"})
	if err != nil {
		s.refuse(r.Context(), w, err)
	} else {
		s.options.Logger.InfoContext(r.Context(), "imported", slog.String("account", out.Manifest.Account), slog.Bool("already", out.Already))
		s.answer(w, http.StatusOK, out)
	}
	if c.Flush() == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

func (s *server) discard(w http.ResponseWriter, r *http.Request) {
	if err := s.options.Accounts.DiscardImport(r.Context(), r.URL.Query().Get("account")); err != nil {
		s.refuse(r.Context(), w, err)
		return
	}
	s.options.Logger.InfoContext(r.Context(), "import discarded", slog.String("account", r.URL.Query().Get("account")))
	s.answer(w, http.StatusOK, struct{}{})
}

// refusal is the answer to what could not be done.
type refusal struct {
	Error string `json:"error"`
}

// refuse answers why something was not done.
func (s *server) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	for _, known := range []error{
		archive.ErrBroken, archive.ErrTruncated, archive.ErrResidency, archive.ErrVersion,
		mail.ErrExists, mail.ErrImporting, mail.ErrNoImport, store.ErrNotFound, store.ErrNoCheckpoint, errBusy, errEnding,
	} {
		if errors.Is(err, known) {
			status = http.StatusConflict
		}
	}
	s.options.Logger.WarnContext(ctx, "refused", slog.Any("error", err))
	s.answer(w, status, refusal{Error: err.Error()})
}

// answer writes a value. A client that does not read it gets nothing else.
func (s *server) answer(w http.ResponseWriter, status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
