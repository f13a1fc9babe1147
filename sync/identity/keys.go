package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/internal/egress"
)

// Options tune a Verifier; the zero value is for production.
type Options struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Refresh is after how long keys are fetched again in the background, when a
	// token needs them; 15 minutes when zero.
	Refresh time.Duration
	// Stale is how long keys are used after they were last fetched, while the issuer
	// cannot be reached; 24 hours when zero.
	Stale time.Duration
	// Retry is the least time between two attempts to fetch the keys of an issuer,
	// whatever tokens arrive; 10 seconds when zero.
	Retry time.Duration
	// MaxAge refuses tokens that were issued longer ago; no bound when zero.
	MaxAge time.Duration
	// DeniedRanges are address ranges that keys are never fetched from.
	DeniedRanges []netip.Prefix
	// Changed, when set, is called after the outcome of fetching some issuer's keys
	// became another. It must not block.
	Changed func()
}

// Verifier verifies tokens and keeps the keys of their issuers. It is safe for
// concurrent use.
type Verifier struct {
	now     func() time.Time
	refresh time.Duration
	stale   time.Duration
	retry   time.Duration
	maxAge  time.Duration
	denied  []netip.Prefix
	changed func()

	ctx     context.Context //nolint:containedctx // fetches outlive the request that starts them and end with the verifier
	cancel  context.CancelFunc
	fetches sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	sources map[sourceKey]*source
}

// NewVerifier makes a verifier. Close ends its fetches.
func NewVerifier(o Options) *Verifier {
	ctx, cancel := context.WithCancel(context.Background())
	v := &Verifier{
		now:     o.Now,
		refresh: orDefault(o.Refresh, 15*time.Minute),
		stale:   orDefault(o.Stale, 24*time.Hour),
		retry:   orDefault(o.Retry, 10*time.Second),
		maxAge:  o.MaxAge,
		denied:  o.DeniedRanges,
		changed: o.Changed,
		ctx:     ctx,
		cancel:  cancel,
		sources: map[sourceKey]*source{},
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.changed == nil {
		v.changed = func() {}
	}
	return v
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

// Close ends running fetches and waits for them. Tokens are refused afterwards
// unless their keys are known.
func (v *Verifier) Close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.cancel()
	v.fetches.Wait()
}

// KeysError says why the keys of an issuer could not be fetched at the last attempt;
// empty when they could or were not needed yet.
func (v *Verifier) KeysError(issuer *tenantdoc.Issuer) string {
	v.mu.Lock()
	s := v.sources[keyOf(issuer)]
	v.mu.Unlock()
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		return ""
	}
	return s.failure.Error()
}

// sourceKey is everything that decides which keys are fetched and how.
type sourceKey struct {
	uri, hosts, ranges, ca string
}

func keyOf(issuer *tenantdoc.Issuer) sourceKey {
	return sourceKey{
		uri:    issuer.JWKSURI,
		hosts:  strings.Join(issuer.AllowedHosts, " "),
		ranges: strings.Join(issuer.PrivateRanges, " "),
		ca:     issuer.CABundle,
	}
}

// source gives the key source of an issuer. Sources that nothing used while their
// keys went stale are dropped when another one is made.
func (v *Verifier) source(issuer *tenantdoc.Issuer) (*source, error) {
	key := keyOf(issuer)
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if s, ok := v.sources[key]; ok {
		s.used = now
		return s, nil
	}
	client, err := newClient(issuer, v.denied)
	if err != nil {
		return nil, unavailable(err)
	}
	for k, s := range v.sources {
		if now.Sub(s.used) > v.stale {
			delete(v.sources, k)
		}
	}
	s := &source{v: v, client: client, uri: issuer.JWKSURI, used: now}
	v.sources[key] = s
	return s, nil
}

func newClient(issuer *tenantdoc.Issuer, denied []netip.Prefix) (*egress.Client, error) {
	ranges := make([]netip.Prefix, 0, len(issuer.PrivateRanges))
	for i, raw := range issuer.PrivateRanges {
		p, err := netip.ParsePrefix(raw)
		if err != nil {
			return nil, fmt.Errorf("privateRanges[%d]: %w", i, err)
		}
		ranges = append(ranges, p)
	}
	return egress.New(egress.Policy{
		Hosts:         issuer.AllowedHosts,
		PrivateRanges: ranges,
		DeniedRanges:  denied,
		CABundle:      []byte(issuer.CABundle),
	})
}

func unavailable(cause error) *Error {
	return &Error{Code: CodeUnavailable, Reason: ReasonKeysUnavailable, Detail: "the signing keys of the tenant's identity provider cannot be fetched now: try again later", cause: cause}
}

// source keeps the keys of one issuer.
type source struct {
	v      *Verifier
	client *egress.Client
	uri    string
	used   time.Time // guarded by Verifier.mu
	proven proven

	mu        sync.Mutex
	keys      *egress.KeySet
	fetched   time.Time // when keys came
	attempted time.Time // when they were last asked for
	failure   error     // of the last attempt
	running   chan struct{}
}

// current gives the keys: at once while they are fresh or stale within the bound,
// else after fetching them.
func (s *source) current(ctx context.Context) (*egress.KeySet, error) {
	s.mu.Lock()
	now := s.v.now()
	age := now.Sub(s.fetched)
	usable := s.keys != nil && age < s.v.stale
	if usable && age < s.v.refresh {
		defer s.mu.Unlock()
		return s.keys, nil
	}
	running := s.startLocked(now)
	keys, failure := s.keys, s.failure
	s.mu.Unlock()
	if usable {
		return keys, nil
	}
	if running == nil {
		return nil, unavailable(failure)
	}
	return s.wait(ctx, running)
}

// renew fetches the keys again because a token names one that is not among them,
// and gives what is known then. It fails while the issuer cannot be asked: the key
// may be a new one.
func (s *source) renew(ctx context.Context) (*egress.KeySet, error) {
	s.mu.Lock()
	running := s.startLocked(s.v.now())
	keys, failure := s.keys, s.failure
	s.mu.Unlock()
	if running != nil {
		return s.wait(ctx, running)
	}
	if failure != nil {
		return nil, unavailable(failure)
	}
	return keys, nil
}

// wait gives the outcome of a running fetch.
func (s *source) wait(ctx context.Context, running chan struct{}) (*egress.KeySet, error) {
	select {
	case <-running:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil, unavailable(s.failure)
	}
	return s.keys, nil
}

// startLocked starts a fetch, or joins the running one. It gives nil when the last
// attempt is too recent, or the verifier is closed.
func (s *source) startLocked(now time.Time) chan struct{} {
	if s.running != nil {
		return s.running
	}
	if !s.attempted.IsZero() && now.Sub(s.attempted) < s.v.retry {
		return nil
	}
	if !s.v.begin() {
		return nil
	}
	s.attempted = now
	done := make(chan struct{})
	s.running = done
	go s.fetch(done)
	return done
}

// begin counts a fetch in, unless the verifier is closed.
func (v *Verifier) begin() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	v.fetches.Add(1)
	return true
}

func (s *source) fetch(done chan struct{}) {
	defer s.v.fetches.Done()
	keys, err := egress.FetchKeys(s.v.ctx, s.client, s.uri)
	s.mu.Lock()
	changed := (err == nil) != (s.failure == nil) || (err != nil && err.Error() != s.failure.Error())
	s.failure = err
	if err == nil {
		s.keys, s.fetched = keys, s.v.now()
	}
	s.running = nil
	s.mu.Unlock()
	close(done)
	if changed {
		s.v.changed()
	}
}

// candidates are the keys that a token may be signed with: those of its key id, or
// all when it names none, which fit its algorithm.
func candidates(set *egress.KeySet, t *Unverified) []jose.JSONWebKey {
	var keys []jose.JSONWebKey
	for i := range set.Keys {
		key := &set.Keys[i]
		if (t.KeyID == "" || key.KeyID == t.KeyID) && fits(key, t.Algorithm) {
			keys = append(keys, *key)
		}
	}
	return keys
}

// fits tells whether a key may be used with an algorithm (RFC 7518 §3.1, RFC 8037):
// its own alg must be that one, and an elliptic curve belongs to one algorithm.
func fits(key *jose.JSONWebKey, alg string) bool {
	if key.Algorithm != "" && key.Algorithm != alg {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		curves := map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}
		return curves[alg] == public.Params().BitSize
	case ed25519.PublicKey:
		return alg == "EdDSA"
	default:
		return false
	}
}
