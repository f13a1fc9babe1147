package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// StandInOptions are what a stand-in needs.
type StandInOptions struct {
	// Certificates are those of the server that it stands in for.
	Certificates *Certificates
	// MinimumTLS is the lowest version of TLS.
	MinimumTLS uint16
	// Check and Reason say what is missing, in words that every client may read.
	Check, Reason string
	// Logger takes what goes wrong.
	Logger *slog.Logger
}

// StandIn answers in place of a server that cannot be assembled yet, until the context
// ends: the process lives, is not ready, and every request is to be tried again. It
// closes the listener. The error is nil after an orderly end.
func StandIn(ctx context.Context, listener net.Listener, o StandInOptions) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		send(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem := jmap.NewProblem(http.StatusServiceUnavailable, "not ready")
		problem.Fields = map[string]any{"checks": map[string]any{o.Check: o.Reason}}
		w.Header().Set("Retry-After", "10")
		sendProblem(w, r, problem)
	})
	srv := &http.Server{
		Handler:           mux,
		TLSConfig:         tlsConfig(o.Certificates, o.MinimumTLS),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      time.Minute,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          connectionLog(o.Logger),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.ServeTLS(listener, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve stand-in: %w", err)
	case <-ctx.Done():
	}
	err := srv.Close()
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
