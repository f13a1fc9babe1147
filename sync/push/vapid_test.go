package push

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// claimsOf verifies the Authorization header of a message as a push service does.
func claimsOf(tb testing.TB, authorization, key string) map[string]any {
	tb.Helper()
	token, public, ok := strings.Cut(strings.TrimPrefix(authorization, "vapid t="), ", k=")
	if !ok || public != key {
		tb.Fatalf("Authorization %q, want one of the key %s", authorization, key)
	}
	parsed, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), decode64(tb, public))
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := signed.Verify(parsed)
	if err != nil {
		tb.Fatalf("verify: %v", err)
	}
	if typ := signed.Signatures[0].Protected.ExtraHeaders["typ"]; typ != "JWT" {
		tb.Errorf("typ %v, want JWT", typ)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		tb.Fatal(err)
	}
	return claims
}

func applicationServerKey(tb testing.TB, s *Service) string {
	tb.Helper()
	raw, err := json.Marshal(s.Capability().Session)
	if err != nil {
		tb.Fatal(err)
	}
	var value map[string]string
	if err := json.Unmarshal(raw, &value); err != nil || len(value) != 1 {
		tb.Fatalf("capability %s: %v", raw, err)
	}
	return value["applicationServerKey"]
}

// sessionState is the state of the session object that the service is a part of.
func (b *bench) sessionState() string {
	b.tb.Helper()
	service, err := jmap.NewService(jmap.Options{
		BaseURL: "https://region.example", Limits: jmap.DefaultLimits(),
		Capabilities: []jmap.Capability{b.service.Capability()}, CoreMethods: b.service.Methods(),
	})
	if err != nil {
		b.tb.Fatal(err)
	}
	session, err := service.Session(b.call.Principal)
	if err != nil {
		b.tb.Fatal(err)
	}
	return session.State
}

func TestEveryMessageIsSignedForItsPushService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create("d", "")
	b.look(b.service, id)
	got := b.office.take()
	if len(got) != 1 {
		t.Fatalf("%d messages, want 1", len(got))
	}
	claims := claimsOf(t, got[0].header.Get("Authorization"), applicationServerKey(t, b.service))
	want := map[string]any{"aud": b.office.URL, "sub": "https://region.example", "exp": float64(b.clock.Now().Add(12 * time.Hour).Unix())}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestTheAudienceIsTheOrigin(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"https://push.example/a?b":       "https://push.example",
		"https://Push.Example:443/a":     "https://push.example",
		"https://push.example:8443":      "https://push.example:8443",
		"https://[2001:DB8::1]:443/x":    "https://[2001:db8::1]",
		"http://127.0.0.1:80/x":          "http://127.0.0.1",
		"https://push.example:80/x":      "https://push.example:80",
		"https://push.example:4430/path": "https://push.example:4430",
	} {
		if got, err := origin(endpoint); err != nil || got != want {
			t.Errorf("origin(%q) = %q, %v, want %q", endpoint, got, err, want)
		}
	}
	if _, err := origin("push"); err == nil {
		t.Error("a relative URL has an origin")
	}
}

func TestReplicasAndRestartsShareTheKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	key := applicationServerKey(t, b.service)
	for range 3 {
		if other := applicationServerKey(t, b.start("two")); other != key {
			t.Errorf("key %s, want %s", other, key)
		}
	}
}

func TestReplicasThatStartTogetherAgreeOnTheKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const replicas = 8
	errs := make(chan error, replicas)
	stores := make([]*keyStore, replicas)
	for i := range stores {
		stores[i] = &keyStore{engine: b.engine, generation: 1, clock: b.clock}
		go func() { errs <- stores[i].refresh(context.Background()) }()
	}
	for range stores {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, k := range stores {
		if k.public() != stores[0].public() {
			t.Errorf("keys %s and %s", k.public(), stores[0].public())
		}
	}
	if stores[0].public() == b.service.keys.public() {
		t.Error("the higher generation has the same key")
	}
}

func TestAReplacedKeyIsAnnouncedAndServesOldSubscriptionsUntilTheyEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := b.verified("old", "")
	oldKey, oldState := applicationServerKey(t, b.service), b.sessionState()
	second := b.start("two", func(o *Options) { o.KeyGeneration = 1 })
	newKey := applicationServerKey(t, second)
	if newKey == oldKey {
		t.Fatal("the key was not replaced")
	}
	stop := b.run(b.service)
	defer stop()
	b.until("the other replica's new key", func() bool { return applicationServerKey(t, b.service) == newKey })
	stop()
	if b.sessionState() == oldState {
		t.Error("the state of the session is the same with another key")
	}
	if again := applicationServerKey(t, b.start("three", func(o *Options) { o.KeyGeneration = 1 })); again != newKey {
		t.Errorf("the same generation made another key")
	}
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	fresh := b.create("fresh", "")
	for id, key := range map[string]string{old: oldKey, fresh: newKey} {
		b.look(b.service, id)
		got := b.office.take()
		if len(got) != 1 {
			t.Fatalf("%d messages, want 1", len(got))
		}
		claimsOf(t, got[0].header.Get("Authorization"), key)
	}
	// The old key bounds the lifetime of what was made with it.
	b.clock.advance(72 * time.Hour)
	b.do("set", `{"update":{"`+old+`":{"expires":null},"`+fresh+`":{"expires":null}}}`)
	got := fmt.Sprint(b.do("get", `{"properties":["expires"]}`)["list"])
	if strings.Count(got, "2026-11-30T12:00") != 1 || strings.Count(got, "2026-12-03T12:00") != 1 {
		t.Errorf("subscriptions last until %s, want the old key's end and seven days from now", got)
	}
}

func TestASubscriptionWhoseKeyIsGoneIsDestroyed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	b.start("two", func(o *Options) { o.KeyGeneration = 1 })
	b.service.keys.generation = 2
	b.clock.advance(maxLifetime - time.Second)
	if err := b.service.keys.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range b.service.keys.ring.Keys {
		if b.service.keys.ring.Keys[i].Retires != nil {
			past := b.clock.Now()
			b.service.keys.ring.Keys[i].Retires = &past
		}
	}
	raw, err := json.Marshal(b.service.keys.ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.set(ringKey(), raw); err != nil {
		t.Fatal(err)
	}
	if _, over := b.look(b.service, id); !over || b.records() != 0 || len(b.office.take()) != 0 {
		t.Errorf("over %v with %d records", over, b.records())
	}
}

func TestTheAnswerOfAKeyThatTheServiceDoesNotKnowEndsTheSubscription(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create("d", "")
	b.office.answer(status(http.StatusForbidden, ""))
	if _, over := b.look(b.service, id); !over || b.records() != 0 {
		t.Errorf("over %v with %d records, want a client that finds nothing and begins again (RFC 9749)", over, b.records())
	}
}
