package issuers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/controllers/internal/issuers/issuertest"
	"github.com/bailiwick-dev/bailiwick/internal/egress"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var (
	one = types.NamespacedName{Namespace: "n", Name: "one"}
	two = types.NamespacedName{Namespace: "n", Name: "two"}
)

// quick retries soon and refreshes soon, so that a test does not wait.
var quick = Options{Refresh: 20 * time.Millisecond, RetryFrom: 5 * time.Millisecond, RetryTo: 20 * time.Millisecond}

// start runs a prober until the test ends.
func start(t *testing.T, o Options) *Prober {
	t.Helper()
	p := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func queryOf(i *issuertest.Issuer) Query {
	return Query{Issuer: i.URL(), Hosts: []string{i.Host()}, PrivateRanges: i.Ranges(), CABundle: i.CABundle()}
}

func want(t *testing.T, p *Prober, owner types.NamespacedName, q Query) Answer {
	t.Helper()
	a, err := p.Want(owner, q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// awaitChange waits for an event about owner and gives the answer at that time.
func awaitChange(t *testing.T, p *Prober, owner types.NamespacedName, q Query) Answer {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case e := <-p.Changes():
			if e.Object.GetNamespace() == owner.Namespace && e.Object.GetName() == owner.Name {
				return want(t, p, owner, q)
			}
		case <-deadline:
			t.Fatal("no change arrives")
		}
	}
}

func TestNothingIsKnownBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, Options{})
	if a := want(t, p, one, queryOf(i)); a.Asked || a.Provider != nil || a.Err != nil {
		t.Errorf("before the first answer: %+v", a)
	}
	a := awaitChange(t, p, one, queryOf(i))
	if !a.Asked || a.Err != nil || a.Provider == nil || a.Provider.Issuer != i.URL() || a.Provider.JWKSURI != i.URL()+"/keys" {
		t.Errorf("after the first answer: %+v", a)
	}
	if p.Failing(one) {
		t.Error("a good answer counts as failing")
	}
}

func TestLastGoodAnswerOutlivesFailures(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, quick)
	want(t, p, one, queryOf(i))
	good := awaitChange(t, p, one, queryOf(i))
	i.Answer(http.StatusServiceUnavailable)
	bad := awaitChange(t, p, one, queryOf(i))
	if !errors.Is(bad.Err, egress.ErrStatus) || bad.Provider == nil || bad.Provider.Fingerprint != good.Provider.Fingerprint || !p.Failing(one) {
		t.Errorf("while failing: %+v", bad)
	}
	i.Answer(http.StatusOK)
	i.RotateKeys(t)
	mended := awaitChange(t, p, one, queryOf(i))
	if mended.Err != nil || mended.Provider.Fingerprint == good.Provider.Fingerprint {
		t.Errorf("after mending: %+v", mended)
	}
}

func TestUnchangedAnswersTellNobody(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, quick)
	want(t, p, one, queryOf(i))
	awaitChange(t, p, one, queryOf(i))
	before := i.Requests()
	deadline := time.Now().Add(10 * time.Second)
	for i.Requests() < before+6 { // three more rounds of two requests
		select {
		case e := <-p.Changes():
			t.Fatalf("a change is told of %s although nothing changed", e.Object.GetName())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the issuer is not asked again")
		}
	}
}

func TestEqualQueriesAreAskedOnce(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, Options{})
	want(t, p, one, queryOf(i))
	want(t, p, two, queryOf(i))
	seen := map[string]bool{}
	for len(seen) < 2 {
		select {
		case e := <-p.Changes():
			seen[e.Object.GetName()] = true
		case <-time.After(10 * time.Second):
			t.Fatal("not every owner is told")
		}
	}
	if got := i.Requests(); got != 2 {
		t.Errorf("%d requests, want one for the document and one for the keys", got)
	}
}

func TestForgottenIssuerIsAskedNoMore(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, quick)
	want(t, p, one, queryOf(i))
	awaitChange(t, p, one, queryOf(i))
	p.Forget(one)
	p.mu.Lock()
	left := len(p.targets) + len(p.owners)
	p.mu.Unlock()
	if left != 0 || p.Failing(one) {
		t.Errorf("%d entries are left of a forgotten owner", left)
	}
	if a := want(t, p, one, queryOf(i)); a.Asked {
		t.Error("the answer outlives the last who wanted it")
	}
}

func TestOwnerThatChangesItsQueryLeavesTheOldOne(t *testing.T) {
	t.Parallel()
	i, j := issuertest.New(t), issuertest.New(t)
	p := start(t, Options{})
	want(t, p, one, queryOf(i))
	awaitChange(t, p, one, queryOf(i))
	want(t, p, one, queryOf(j))
	if a := awaitChange(t, p, one, queryOf(j)); a.Provider == nil || a.Provider.Issuer != j.URL() {
		t.Errorf("answer after the change: %+v", a)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.targets) != 1 {
		t.Errorf("%d targets, want the new one only", len(p.targets))
	}
}

func TestRefreshAsksAtOnce(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, Options{}) // on its own it would ask again in an hour
	want(t, p, one, queryOf(i))
	before := awaitChange(t, p, one, queryOf(i))
	i.RotateKeys(t)
	p.Refresh(one)
	p.Refresh(two) // unknown: nothing happens
	if after := awaitChange(t, p, one, queryOf(i)); after.Provider.Fingerprint == before.Provider.Fingerprint {
		t.Error("the keys are the old ones after a refresh")
	}
}

func TestDeniedRangesAreNotDialled(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, Options{DeniedRanges: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	want(t, p, one, queryOf(i))
	if a := awaitChange(t, p, one, queryOf(i)); !errors.Is(a.Err, egress.ErrAddressRefused) {
		t.Errorf("error %v, want %v", a.Err, egress.ErrAddressRefused)
	}
	if got := i.Requests(); got != 0 {
		t.Errorf("%d requests arrived", got)
	}
}

func TestBundleWithoutCertificateIsAnAnswer(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, Options{})
	q := queryOf(i)
	q.CABundle = "noise"
	want(t, p, one, q)
	if a := awaitChange(t, p, one, q); !errors.Is(a.Err, egress.ErrBadPolicy) || a.Provider != nil {
		t.Errorf("answer %+v, want %v", a, egress.ErrBadPolicy)
	}
}

func TestManyIssuersAreAskedByFewWorkers(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	p := start(t, Options{Workers: 2})
	const owners = 20
	for n := range owners {
		q := queryOf(i)
		q.Aliases = []string{fmt.Sprintf("https://alias-%d.example", n)} // each query differs
		want(t, p, types.NamespacedName{Namespace: "n", Name: strconv.Itoa(n)}, q)
	}
	for range owners {
		select {
		case <-p.Changes():
		case <-time.After(20 * time.Second):
			t.Fatal("not every owner is told")
		}
	}
}
