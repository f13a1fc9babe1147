package server

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// resource is one resource of the server: its name in metrics and logs, and its
// handlers by HTTP method.
type resource struct {
	name     string
	handlers map[string]http.HandlerFunc
}

func (s *Server) routes() http.Handler {
	session := resource{name: "session", handlers: map[string]http.HandlerFunc{http.MethodGet: s.serveSession}}
	table := map[string]resource{
		jmap.PathWellKnown:             session,
		jmap.PathSession:               session,
		jmap.PathAPI:                   {name: "api", handlers: map[string]http.HandlerFunc{http.MethodPost: s.serveAPI}},
		jmap.PathUpload + "{account}/": {name: "upload", handlers: map[string]http.HandlerFunc{http.MethodPost: s.serveUpload}},
		jmap.PathDownload + "{account}/{blob}/{name...}": {name: "download", handlers: map[string]http.HandlerFunc{http.MethodGet: s.serveDownload}},
		jmap.PathEventSource:                             {name: resourceEvents, handlers: map[string]http.HandlerFunc{http.MethodGet: s.serveEvents}},
		jmap.PathWebSocket:                               {name: resourceWebSocket, handlers: map[string]http.HandlerFunc{http.MethodGet: s.serveWebSocket}},
		PathMetadata:                                     {name: "metadata", handlers: map[string]http.HandlerFunc{http.MethodGet: s.serveMetadata}},
		"/healthz":                                       {name: "health", handlers: map[string]http.HandlerFunc{http.MethodGet: s.serveHealth}},
		"/readyz":                                        {name: "health", handlers: map[string]http.HandlerFunc{http.MethodGet: s.serveReadiness}},
		"/":                                              {name: "other"},
	}
	mux := http.NewServeMux()
	for path, res := range table {
		pattern := path
		if strings.HasSuffix(path, "/") && path != "/" {
			pattern += "{$}"
		}
		mux.Handle(pattern, s.observed(res))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		s.leave(w.Header())
		mux.ServeHTTP(w, r)
	})
}

// observed wraps a resource with what all resources have: method checks, progress
// deadlines, metrics, logs, and an answer when a handler panics.
func (s *Server) observed(res resource) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		out := newResponse(w, s.options.Progress)
		defer func() { //nolint:contextcheck // the request carries the context
			took := time.Since(start)
			s.metrics.observeRequest(res.name, r.Method, out.status(), took)
			s.logger.DebugContext(r.Context(), "request", slog.String("resource", res.name), slog.String("method", methodLabel(r.Method)),
				slog.Int("status", out.status()), slog.Int64("octets", out.written), slog.Duration("took", took))
		}()
		defer func() {
			if value := recover(); value != nil {
				s.panicked(out, r, res.name, value)
			}
		}()
		r.Body = &progressBody{ReadCloser: r.Body, response: out, moved: start, whole: r.ProtoMajor == 1}
		res.serve(out, r)
	})
}

// panicked answers for a handler that panicked, or aborts an answer that has begun.
func (s *Server) panicked(out *response, r *http.Request, name string, value any) {
	if value == http.ErrAbortHandler { //nolint:errorlint // the sentinel is panicked with, never wrapped
		panic(value)
	}
	s.logger.ErrorContext(r.Context(), "handler panicked", slog.String("resource", name), slog.String("stack", string(debug.Stack())))
	if out.code != 0 {
		panic(http.ErrAbortHandler)
	}
	sendProblem(out, r, jmap.NewProblem(http.StatusInternalServerError, "internal error, see the server's log"))
}

func (res resource) serve(w http.ResponseWriter, r *http.Request) {
	if len(res.handlers) == 0 {
		sendProblem(w, r, jmap.NewProblem(http.StatusNotFound, "no such resource, the session object at "+jmap.PathWellKnown+" lists them"))
		return
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handler, ok := res.handlers[method]
	if !ok {
		w.Header().Set("Allow", res.allow())
		sendProblem(w, r, jmap.NewProblem(http.StatusMethodNotAllowed, "allowed: "+res.allow()))
		return
	}
	handler(w, r)
}

func (res resource) allow() string {
	var methods []string
	for method := range res.handlers {
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// secure sets the headers that every answer carries: nothing is cached, framed,
// sniffed or run unless a handler says otherwise.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Content-Type-Options", "nosniff")
}
