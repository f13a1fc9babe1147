package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// Bounds of connections and requests.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 5 * time.Minute
	requestTimeout = 60 * time.Second
	maxHeaderBytes = 32 << 10
)

// Check is one condition of readiness.
type Check struct {
	// Name tells what is checked, in one word.
	Name string
	// Ready returns nil when the condition holds, or why it does not, without
	// secrets.
	Ready func(ctx context.Context) error
}

// Options are what a Server is made of.
type Options struct {
	// BaseURL is the https URL by which clients reach the server, without a path.
	BaseURL string
	// Limits are advertised and enforced; the zero value means jmap.DefaultLimits.
	Limits jmap.Limits
	// Push bounds event streams and WebSockets; the zero value means DefaultPushLimits.
	Push PushLimits
	// Load bounds what accounts, tenants and addresses have the server do.
	Load LoadLimits
	// Capabilities are offered beside JMAP Core.
	Capabilities []jmap.Capability
	// CoreMethods are methods of JMAP Core beside those of the package jmap.
	CoreMethods map[string]jmap.Method
	// Gate admits requests.
	Gate jmap.Gate
	// Blobs serves uploads and downloads.
	Blobs jmap.Blobs
	// States serves push.
	States jmap.States
	// Accounts provisions mailboxes before the first answer.
	Accounts jmap.Accounts
	// Watch tells when what the gate judges a tenant's users by may have changed, and
	// tells once at the beginning: open streams and WebSockets are then judged again at
	// once. Nil leaves them to be judged now and then. Cancel releases it.
	Watch func(tenant string) (changes <-chan struct{}, cancel func())
	// Shares tells what others share with a principal; nil when nothing is shared.
	Shares jmap.Shares
	// AuthorizationServers lists the issuers whose tokens are accepted, for the
	// protected-resource metadata; nil leaves them out.
	AuthorizationServers func() []string
	// Checks are conditions of readiness beside the server's own.
	Checks []Check
	// Certificates gives the serving certificate.
	Certificates *Certificates
	// MinimumTLS is the lowest protocol version, tls.VersionTLS12 or later; zero
	// means TLS 1.2.
	MinimumTLS uint16
	// DrainDelay is how long the server goes on serving after it has declared itself
	// not ready, so that load balancers notice.
	DrainDelay time.Duration
	// Progress is how long each part of a body may take; zero means 60 seconds. A slow
	// client is served as long as it makes progress, a stalled one is dropped.
	Progress time.Duration
	// ShutdownTimeout bounds the wait for running requests at shutdown; zero means
	// 20 seconds.
	ShutdownTimeout time.Duration
	// Logger receives structured logs without content, addresses or tokens; nil
	// discards them.
	Logger *slog.Logger
	// Metrics receives the server's metrics; nil keeps them private.
	Metrics prometheus.Registerer
}

// Server serves JMAP over HTTPS.
type Server struct {
	options  Options
	service  *jmap.Service
	handler  http.Handler
	metrics  *metrics
	logger   *slog.Logger
	requests *limiter
	uploads  *limiter
	streams  *limiter
	load     *load
	unready  atomic.Bool
	draining chan struct{}
	// sockets are the WebSockets that are open.
	sockets sync.WaitGroup
}

// New makes a server. It refuses a base URL that is not an https URL without a path,
// and capabilities that contradict each other.
func New(o Options) (*Server, error) {
	if err := checkBaseURL(o.BaseURL); err != nil {
		return nil, err
	}
	if o.Gate == nil || o.Blobs == nil || o.States == nil || o.Accounts == nil {
		return nil, errors.New("gate, blobs, states and accounts are needed")
	}
	o = withDefaults(o)
	if err := o.Load.check(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	service, err := jmap.NewService(jmap.Options{
		BaseURL:      o.BaseURL,
		Limits:       o.Limits,
		Blobs:        o.Blobs,
		Shares:       o.Shares,
		Capabilities: append(slices.Clip(o.Capabilities), newWebSocketCapability(o.BaseURL)),
		CoreMethods:  o.CoreMethods,
		Logger:       o.Logger,
		Observe:      m.observeCall,
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:  o,
		service:  service,
		metrics:  m,
		logger:   o.Logger,
		requests: newLimiter(o.Limits.MaxConcurrentRequests),
		uploads:  newLimiter(o.Limits.MaxConcurrentUpload),
		streams:  newLimiter(o.Push.MaxStreams),
		load:     newLoad(&o.Load),
		draining: make(chan struct{}),
	}
	s.handler = s.routes()
	return s, observeWaiting(o.Metrics, s.load.slots.Waiting)
}

func withDefaults(o Options) Options {
	if o.Limits.MaxSizeRequest == 0 {
		o.Limits = jmap.DefaultLimits()
	}
	if o.Push == (PushLimits{}) {
		o.Push = DefaultPushLimits()
	}
	o.Push.KeepAlive = cmp.Or(o.Push.KeepAlive, DefaultPushLimits().KeepAlive)
	o.Load = o.Load.withDefaults()
	o.Progress = cmp.Or(o.Progress, 60*time.Second)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, 20*time.Second)
	if o.Watch == nil {
		o.Watch = func(string) (<-chan struct{}, func()) { return nil, func() {} }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	return o
}

func checkBaseURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("base URL: %q is not an https URL without a path", raw)
	}
	return nil
}

// Handler returns the HTTP handler, for servers that bring their own listener, and the
// timeouts of Serve.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve accepts connections on a TCP listener until the context ends, then drains:
// it declares itself not ready and asks each client that it answers to connect anew, for
// DrainDelay, ends event streams and WebSockets, takes leave of idle connections, lets
// running requests finish within ShutdownTimeout and closes. It closes the listener, and
// it is called once. The error is nil after an orderly shutdown.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if s.options.Certificates == nil {
		return errors.Join(errors.New("serve: certificates are needed"), listener.Close())
	}
	// Requests outlive the context that ends the server: they are drained.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{
		Handler:           s.handler,
		TLSConfig:         s.tlsConfig(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       s.options.Progress,
		WriteTimeout:      s.options.Progress + requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: s.options.Load.StreamsPerConnection},
		ErrorLog:          connectionLog(s.logger),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	farewell := newFarewell(srv)
	failed := make(chan error, 1)
	go func() { failed <- srv.ServeTLS(s.guard(listener), "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	err := s.shutdown(context.WithoutCancel(ctx), srv, farewell)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (s *Server) shutdown(ctx context.Context, srv *http.Server, farewell *farewell) error {
	s.logger.InfoContext(ctx, "draining", slog.Duration("delay", s.options.DrainDelay))
	s.unready.Store(true)
	time.Sleep(s.options.DrainDelay)
	close(s.draining)
	ctx, cancel := context.WithTimeout(ctx, s.options.ShutdownTimeout)
	defer cancel()
	if err := farewell.say(ctx, s.options.ShutdownTimeout/goAwayShare); err != nil {
		return errors.Join(err, srv.Close())
	}
	if err := srv.Shutdown(ctx); err != nil {
		return fmt.Errorf("shutdown: requests still run after %s: %w", s.options.ShutdownTimeout, errors.Join(err, srv.Close()))
	}
	return s.awaitSockets(ctx)
}

// awaitSockets waits for the WebSockets, which net/http no longer knows of. They end
// by themselves once the server drains, and with the context of the server at the
// latest.
func (s *Server) awaitSockets(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		s.sockets.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shutdown: WebSockets are open after %s: %w", s.options.ShutdownTimeout, ctx.Err())
	}
}
