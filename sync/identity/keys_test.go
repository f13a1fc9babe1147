package identity

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: noon} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// waitFor waits for a condition that other goroutines bring about.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func TestKeysAreFetchedOnceForManyTokens(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	v := newVerifier(t, Options{})
	raw := i.Token(t, noon, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			doc := i.Document() // a new copy of the document is the same source
			if _, err := verify(t, v, raw, &doc); err != nil {
				t.Errorf("Verify: %v", err)
			}
		})
	}
	wg.Wait()
	if n := i.Fetches(); n != 1 {
		t.Fatalf("%d fetches, want 1", n)
	}
}

func TestRotatedKeyIsFetchedOnFirstSightAndNoMoreThanAllowed(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	c := newClock()
	v := newVerifier(t, Options{Now: c.Now})
	old := i.Token(t, noon, nil)
	if _, err := verify(t, v, old, &doc); err != nil {
		t.Fatalf("before the rotation: %v", err)
	}
	i.Rotate(t)
	rotated := i.Token(t, noon, nil)
	_, err := verify(t, v, rotated, &doc)
	wantReason(t, err, CodeInvalidToken, ReasonUnknownKey)
	if n := i.Fetches(); n != 1 {
		t.Fatalf("%d fetches within the retry time, want 1", n)
	}
	c.Advance(10 * time.Second)
	if _, err := verify(t, v, rotated, &doc); err != nil {
		t.Fatalf("after the rotation: %v", err)
	}
	c.Advance(10 * time.Second)
	_, err = verify(t, v, old, &doc)
	wantReason(t, err, CodeInvalidToken, ReasonUnknownKey)
	if n := i.Fetches(); n != 3 {
		t.Fatalf("%d fetches, want 3", n)
	}
}

func TestKeysAreRefreshedInTheBackground(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	c := newClock()
	v := newVerifier(t, Options{Now: c.Now})
	raw := i.Token(t, noon, nil)
	if _, err := verify(t, v, raw, &doc); err != nil {
		t.Fatal(err)
	}
	i.Rotate(t)
	c.Advance(15 * time.Minute)
	if _, err := verify(t, v, raw, &doc); err != nil {
		t.Fatalf("the old key serves until the new ones are there: %v", err)
	}
	waitFor(t, "the withdrawn key to be refused", func() bool {
		_, err := verify(t, v, raw, &doc)
		return err != nil
	})
}

func TestStaleKeysServeUntilTheBoundWhileTheIssuerIsDown(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	c := newClock()
	var changes atomic.Int32
	v := newVerifier(t, Options{Now: c.Now, Stale: 2 * time.Hour, Changed: func() { changes.Add(1) }})
	long := map[string]any{"exp": noon.Add(24 * time.Hour).Unix()}
	raw := i.Token(t, noon, long)
	if _, err := verify(t, v, raw, &doc); err != nil || v.KeysError(&doc) != "" {
		t.Fatalf("Verify: %v, %q", err, v.KeysError(&doc))
	}
	i.SetDown(true)
	c.Advance(2*time.Hour - time.Second)
	if _, err := verify(t, v, raw, &doc); err != nil {
		t.Fatalf("within the bound: %v", err)
	}
	waitFor(t, "the failure to be told", func() bool { return v.KeysError(&doc) != "" })
	if !strings.Contains(v.KeysError(&doc), "503") {
		t.Fatalf("KeysError = %q", v.KeysError(&doc))
	}
	i.Rotate(t)
	_, err := verify(t, v, i.Token(t, noon, long), &doc)
	wantReason(t, err, CodeUnavailable, ReasonKeysUnavailable) // it may be a new key: not the token's fault
	c.Advance(time.Second)
	_, err = verify(t, v, raw, &doc)
	wantReason(t, err, CodeUnavailable, ReasonKeysUnavailable)
	i.SetDown(false)
	c.Advance(10 * time.Second)
	if _, err := verify(t, v, i.Token(t, noon, long), &doc); err != nil {
		t.Fatalf("after the issuer came back: %v", err)
	}
	if v.KeysError(&doc) != "" || changes.Load() != 2 {
		t.Fatalf("KeysError %q, %d changes, want none and 2", v.KeysError(&doc), changes.Load())
	}
}

func TestUnreachableIssuerIsNotAskedByEachRequest(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	i.SetDown(true)
	doc := i.Document()
	v := newVerifier(t, Options{})
	raw := i.Token(t, noon, nil)
	for range 5 {
		_, err := verify(t, v, raw, &doc)
		wantReason(t, err, CodeUnavailable, ReasonKeysUnavailable)
		if !errors.Is(err, egress.ErrStatus) {
			t.Fatalf("the cause of %v is lost", err)
		}
	}
	if n := i.Fetches(); n != 1 {
		t.Fatalf("%d fetches, want 1", n)
	}
}

func TestKeysAreFetchedOnlyWhereTheDocumentAllows(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	v := newVerifier(t, Options{})
	raw := i.Token(t, noon, nil)
	host := i.Document()
	host.AllowedHosts = []string{"login.example"}
	_, err := verify(t, v, raw, &host)
	if !errors.Is(err, egress.ErrHostNotAllowed) {
		t.Fatalf("Verify = %v, want ErrHostNotAllowed", err)
	}
	private := i.Document()
	private.PrivateRanges = nil
	if _, err = verify(t, v, raw, &private); !errors.Is(err, egress.ErrAddressRefused) {
		t.Fatalf("Verify = %v, want ErrAddressRefused", err)
	}
	bad := i.Document()
	bad.PrivateRanges = []string{"all"}
	_, err = verify(t, v, raw, &bad)
	wantReason(t, err, CodeUnavailable, ReasonKeysUnavailable)
	ca := i.Document()
	ca.CABundle = "rubbish"
	if _, err = verify(t, v, raw, &ca); !errors.Is(err, egress.ErrBadPolicy) {
		t.Fatalf("Verify = %v, want ErrBadPolicy", err)
	}
	if n := i.Fetches(); n != 0 {
		t.Fatalf("%d fetches, want none", n)
	}
}

func TestSourcesThatNobodyUsesAreDropped(t *testing.T) {
	t.Parallel()
	first, second := identitytest.New(t), identitytest.New(t)
	c := newClock()
	v := newVerifier(t, Options{Now: c.Now})
	doc := first.Document()
	if _, err := verify(t, v, first.Token(t, noon, nil), &doc); err != nil {
		t.Fatal(err)
	}
	c.Advance(25 * time.Hour)
	other := second.Document()
	if _, err := verify(t, v, second.Token(t, c.Now(), nil), &other); err != nil {
		t.Fatal(err)
	}
	if n := len(v.sources); n != 1 {
		t.Fatalf("%d sources, want 1", n)
	}
}

func TestCallerThatGivesUpIsNotHeld(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	v := newVerifier(t, Options{})
	parsed, err := Parse(i.Token(t, noon, nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := v.source(&doc)
	if err != nil {
		t.Fatal(err)
	}
	s.running = make(chan struct{}) // a fetch that does not end
	if _, err := v.Verify(ctx, parsed, &doc); !errors.Is(err, context.Canceled) {
		t.Fatalf("Verify = %v, want context.Canceled", err)
	}
}

func TestClosedVerifierFetchesNoMore(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	v := newVerifier(t, Options{})
	v.Close()
	_, err := verify(t, v, i.Token(t, noon, nil), &doc)
	wantReason(t, err, CodeUnavailable, ReasonKeysUnavailable)
	if n := i.Fetches(); n != 0 {
		t.Fatalf("%d fetches, want none", n)
	}
}

func TestTokenWhoseSignatureIsKnownIsStillJudgedAnew(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	c := newClock()
	v := newVerifier(t, Options{Now: c.Now})
	raw := i.Token(t, noon, nil)
	for range 2 {
		if _, err := verify(t, v, raw, &doc); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := i.Document()
	elsewhere.Audiences = []string{"https://elsewhere.example"}
	_, err := verify(t, v, raw, &elsewhere)
	wantReason(t, err, CodeInvalidToken, ReasonAudience)
	_, err = verify(t, v, raw[:len(raw)-4]+"AAAA", &doc)
	wantReason(t, err, CodeInvalidToken, ReasonSignature)
	c.Advance(6 * time.Hour)
	_, err = verify(t, v, raw, &doc)
	wantReason(t, err, CodeInvalidToken, ReasonExpired)
}

func TestTokensAreRememberedWithinABound(t *testing.T) {
	t.Parallel()
	p, keys := &proven{}, &egress.KeySet{}
	var token [32]byte
	for n := range maxProven + 1 {
		binary.LittleEndian.PutUint64(token[:], uint64(n))
		p.add(keys, token)
	}
	if len(p.seen) != 1 || !p.has(keys, token) {
		t.Fatalf("%d tokens are remembered, want the last", len(p.seen))
	}
	if p.has(&egress.KeySet{}, token) {
		t.Fatal("other keys are said to have verified a token")
	}
}
