package push

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Standing tells whom pushes may reach.
type Standing interface {
	// Accounts lists the accounts whose changes a holder may be told of now. It is
	// empty for one whose tenant is suspended or gone, or whose mailbox is elsewhere.
	// It is asked before each push.
	Accounts(h Holder) []string
}

// Endpoints sends messages to the URLs that clients name; egress.Poster is one.
type Endpoints interface {
	// Check refuses a URL that can be known to be bad at once.
	Check(url string) error
	// Post sends a message and tells the answer. An error means that there was none.
	Post(ctx context.Context, url string, header http.Header, body []byte) (status int, answer http.Header, err error)
}

// Options are what a Service is made of.
type Options struct {
	// Engine keeps the subscriptions.
	Engine store.Engine
	// States tells what has changed.
	States jmap.States
	// Standing tells whom pushes may reach.
	Standing Standing
	// Endpoints sends the messages.
	Endpoints Endpoints
	// Contact is the https or mailto URI by which a push service reaches whoever runs
	// the region (RFC 8292 §2.1).
	Contact string
	// Owner names this process among those that share the store; empty makes a name.
	Owner string
	// KeyGeneration is the generation of the key of push that is wanted: one that is
	// higher than the stored one has the key replaced, once.
	KeyGeneration uint64
	// Window is how long changes gather before they are told; 0 means 500 ms.
	Window time.Duration
	// Poll is how often a replica looks for what it was not told of: subscriptions
	// that others made, hints that were lost, tenants that came back; 0 means a
	// minute.
	Poll time.Duration
	// Lease is how long a replica may take to send one message before others may; 0
	// means a minute. It must be longer than Endpoints takes.
	Lease time.Duration
	// Parallel is how many messages are sent at a time; 0 means 256.
	Parallel int
	// Clock is the clock; nil means the system's.
	Clock Clock
	// Logger receives what became of subscriptions, without URLs and keys; nil
	// discards it.
	Logger *slog.Logger
	// Metrics receives the metrics of the service; nil keeps them private.
	Metrics prometheus.Registerer
}

// Service keeps push subscriptions and sends to them. Its methods are safe for
// concurrent use.
type Service struct {
	o       Options
	keys    *keyStore
	metrics *metrics
	// slots holds a place for each message that is being sent.
	slots chan struct{}

	// fresh are subscriptions that were made here and are not followed yet.
	mu       sync.Mutex
	fresh    map[place]bool
	freshMet chan struct{}
}

// place is where a subscription is.
type place struct{ account, id string }

// New makes a service, and the key by which the region identifies itself if there is
// none.
func New(ctx context.Context, o Options) (*Service, error) {
	o.Owner = cmp.Or(o.Owner, "push-"+random(8))
	o.Window = cmp.Or(o.Window, 500*time.Millisecond)
	o.Poll = cmp.Or(o.Poll, time.Minute)
	o.Lease = cmp.Or(o.Lease, time.Minute)
	o.Parallel = cmp.Or(o.Parallel, 256)
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Service{
		o:        o,
		keys:     &keyStore{engine: o.Engine, generation: o.KeyGeneration, clock: o.Clock},
		metrics:  m,
		slots:    make(chan struct{}, o.Parallel),
		fresh:    map[place]bool{},
		freshMet: make(chan struct{}, 1),
	}
	return s, s.keys.refresh(ctx)
}

// Methods are the methods of JMAP Core that the service answers.
func (s *Service) Methods() map[string]jmap.Method {
	return map[string]jmap.Method{
		"PushSubscription/get": jmap.Handle(s.get),
		"PushSubscription/set": jmap.Handle(s.set),
	}
}

// Capability tells clients the key by which the region identifies itself to push
// services (RFC 9749 §3). With the key the state of the session changes, by which
// clients learn of a new one (§5).
func (s *Service) Capability() jmap.Capability {
	return jmap.Capability{URI: jmap.WebPushCapability, Session: sessionKey{s.keys}, SessionOnly: true}
}

// sessionKey is the value of the capability as it is at the moment of encoding.
type sessionKey struct{ keys *keyStore }

// MarshalJSON encodes the present key.
func (k sessionKey) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Key string `json:"applicationServerKey"`
	}{k.keys.public()})
}

// commit applies what build makes, again when others wrote meanwhile.
func (s *Service) commit(ctx context.Context, build func(b *store.Batch) error) error {
	for range attempts {
		b := &store.Batch{}
		if err := build(b); err != nil || b.Empty() {
			return err
		}
		err := s.o.Engine.Commit(ctx, b)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return &jmap.MethodError{Type: jmap.ErrorServerUnavailable, Description: "the push subscriptions are being written elsewhere: try again"}
}

// stir has the senders of all replicas look at the subscriptions of an account. A hint
// that is lost makes them late, not wrong.
func (s *Service) stir(ctx context.Context, account string) {
	if err := s.o.Engine.Hints().Publish(ctx, account); err != nil {
		s.o.Logger.WarnContext(ctx, "the change of a push subscription could not be told", slog.String("account", account), slog.Any("error", err))
	}
}

// random makes an unguessable name of n octets.
func random(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}
