// Package control lets an operator of the machine, and nobody else, ask a running sync server for what no client may: a
// backup of its store. It is served on a Unix socket that only the user of the server can open. There is
// no port and no token for it: who may run a program in the pod may use it.
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
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// maxPath is the most octets in the path of a socket: what the system takes, less the folder in which it is made.
const maxPath = 107 - len("/.4294967295/s")

// drain is how long a backup goes on when the server is to end.
const drain = 5 * time.Second

// errBusy says that a backup is being made already.
var errBusy = errors.New("a backup is being made already: wait for its end")

// The names of what a stream ends with: why it broke off, or that it is complete.
const (
	trailerError    = "Bailiwick-Error"
	trailerComplete = "Bailiwick-Complete"
)

// Options are what a server serves.
type Options struct {
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
	// What a backup reads must be there until its end; none begins from here on.
	s.backup <- struct{}{}
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
	// backup is full while a backup is made.
	backup chan struct{}
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", s.backups)
	return mux
}

// backups answers with a backup, and ends with whether it is complete.
func (s *server) backups(w http.ResponseWriter, r *http.Request) {
	select {
	case s.backup <- struct{}{}:
	default:
		s.refuse(r.Context(), w, errBusy)
		return
	}
	defer func() { <-s.backup }()
	w.Header().Set("Trailer", trailerError+", "+trailerComplete)
	out := &begun{ResponseWriter: w}
	err := s.options.Backup(r.Context(), out)
	switch {
	case err != nil && !out.yes:
		w.Header().Del("Trailer")
		s.refuse(r.Context(), w, err)
	case err != nil:
		s.options.Logger.WarnContext(r.Context(), "backup broke off", slog.Any("error", err))
		w.Header().Set(trailerError, strconv.QuoteToASCII(err.Error()))
	default:
		s.options.Logger.InfoContext(r.Context(), "backup made")
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

// refusal is the answer to what could not be done.
type refusal struct {
	Error string `json:"error"`
}

// refuse answers why there is no backup. A client that does not read it gets nothing else.
func (s *server) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	s.options.Logger.WarnContext(ctx, "backup refused", slog.Any("error", err))
	status := http.StatusInternalServerError
	if errors.Is(err, errBusy) || errors.Is(err, store.ErrNoCheckpoint) {
		status = http.StatusConflict
	}
	data, err := json.Marshal(refusal{Error: err.Error()})
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
