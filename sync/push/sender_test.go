package push

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func TestADeviceIsVerifiedAndToldWhileTheServiceRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stop := b.run(b.service)
	defer stop()
	id := b.create("d", "")
	b.until("the verification", func() bool { return b.office.count() == 1 })
	b.verify(id, b.code(nil))
	for i := range 3 {
		state := strconv.Itoa(i + 2)
		b.mail.set(t, "a1", map[string]string{"Email": state})
		b.until("the state change", func() bool { return b.office.count() == 1 })
		if diff := cmp.Diff([]any{map[string]any{"a1": map[string]any{"Email": state}}}, b.changes()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if n := testutil.ToFloat64(b.service.metrics.subscriptions); n != 1 {
		t.Errorf("%v subscriptions are followed, want 1", n)
	}
	b.do("set", `{"destroy":["`+id+`"]}`)
	b.until("the end of the worker", func() bool { return testutil.ToFloat64(b.service.metrics.subscriptions) == 0 })
	if n := testutil.CollectAndCount(b.service.metrics.latency); n != 1 {
		t.Errorf("%d latencies", n)
	}
	stop()
	b.checkLogs()
}

func TestAChangeWhileTheProcessWasDownIsToldAfterTheStart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.verified("d", "")
	unsent := b.create("unsent", "")
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	defer b.run(b.start("after"))()
	b.until("both messages", func() bool { return b.office.count() == 2 })
	got := b.office.take()
	i := slices.IndexFunc(got, func(r received) bool { return r.path == "/secret/d" })
	if m := b.decode(got[i], nil); !cmp.Equal(m["changed"], map[string]any{"a1": map[string]any{"Email": "2"}}) {
		t.Errorf("told %v", m)
	}
	if m := b.decode(got[1-i], nil); m["pushSubscriptionId"] != unsent {
		t.Errorf("the verification that was not sent is %v", m)
	}
}

func TestManyChangesAreToldTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.verified("d", "")
	stop := b.run(b.service)
	defer stop()
	release := make(chan struct{})
	b.office.answer(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusCreated)
	})
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	b.until("the first message", func() bool { return b.office.count() == 1 })
	for i := range 50 {
		b.mail.set(t, "a1", map[string]string{"Email": strconv.Itoa(i + 3)})
		b.clock.advance(time.Second)
	}
	// One is in flight: no other may be.
	if n := b.office.count(); n != 1 {
		t.Errorf("%d messages in flight", n)
	}
	close(release)
	b.until("the second message", func() bool { return b.office.count() >= 2 })
	stop()
	want := []any{map[string]any{"a1": map[string]any{"Email": "2"}}, map[string]any{"a1": map[string]any{"Email": "52"}}}
	if diff := cmp.Diff(want, b.changes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTwoReplicasSendEachMessageOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	devices := []string{"d", "e", "f"}
	for _, device := range devices {
		b.verified(device, "")
	}
	// The clock runs on while messages are on their way, however long that takes.
	patient := func(o *Options) { o.Lease = maxLifetime }
	stop, stopOther := b.run(b.start("first", patient)), b.run(b.start("second", patient))
	defer stop()
	defer stopOther()
	const rounds = 10
	for i := range rounds {
		state := strconv.Itoa(i + 2)
		b.mail.set(t, "a1", map[string]string{"Email": state})
		b.until("the messages of a round", func() bool { return b.office.count() >= len(devices)*(i+1) })
	}
	stop()
	stopOther()
	seen := map[string]int{}
	for _, r := range b.office.take() {
		email := b.decode(r, nil)["changed"].(map[string]any)["a1"].(map[string]any)["Email"].(string)
		seen[r.path+" "+email]++
	}
	if len(seen) != rounds*len(devices) {
		t.Errorf("%d different messages, want %d", len(seen), rounds*len(devices))
	}
	for message, n := range seen {
		if n != 1 {
			t.Errorf("%s was sent %d times", message, n)
		}
	}
}

func TestAReplicaWaitsForTheLeaseAndTakesOverWhenItRunsOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	other := b.start("two")
	var once sync.Once
	b.office.answer(func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() {
			if wait, over := b.look(other, id); over || wait != time.Minute {
				t.Errorf("while the first sends, the second waits %s, over %v", wait, over)
			}
		})
		w.WriteHeader(http.StatusCreated)
	})
	b.look(b.service, id)
	if n := len(b.office.take()); n != 1 {
		t.Fatalf("%d messages, want 1", n)
	}
	// The first takes the lease for the next message and is gone.
	b.mail.set(t, "a1", map[string]string{"Email": "3"})
	p := &progress{}
	key := records("a1").progress(id)
	raw, err := read(t.Context(), b.engine, key, p)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(b.service, place{"a1", id})
	if err := w.claim(t.Context(), &dispatch{progress: p, stored: raw}); err != nil {
		t.Fatal(err)
	}
	// Who read before that does not get it.
	if err := newWorker(other, w.at).claim(t.Context(), &dispatch{progress: &progress{}, stored: raw}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("second claim = %v, want ErrConflict", err)
	}
	b.look(other, id)
	if n := b.office.count(); n != 0 {
		t.Errorf("%d messages although the lease is held", n)
	}
	b.clock.advance(time.Minute)
	b.look(other, id)
	if diff := cmp.Diff([]any{map[string]any{"a1": map[string]any{"Email": "3"}}}, b.changes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestASubscriptionThatIsDestroyedWhileAMessageIsOnItsWayStaysDestroyed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	b.office.answer(func(w http.ResponseWriter, _ *http.Request) {
		if out := b.do("set", `{"destroy":["`+id+`"]}`); out["destroyed"] == nil {
			t.Errorf("destroy: %v", out)
		}
		w.WriteHeader(http.StatusCreated)
	})
	b.look(b.service, id)
	if _, over := b.look(b.service, id); !over || b.records() != 0 {
		t.Errorf("over %v, %d records", over, b.records())
	}
}

func TestSubscriptionsOfOtherReplicasAndLostHintsAreFoundInTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.start("two")
	defer b.run(other)()
	// The first replica takes the request and is gone.
	id := b.create("d", "")
	b.until("the verification by the second", func() bool { return b.office.count() == 1 })
	b.verify(id, b.code(nil))
	b.mail.mu.Lock()
	b.mail.states["a1"]["Email"] = "2"
	b.mail.mu.Unlock()
	b.until("the change that nobody told of", func() bool { return b.office.count() == 1 })
	if diff := cmp.Diff([]any{map[string]any{"a1": map[string]any{"Email": "2"}}}, b.changes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAMessageOnItsWayIsConcludedAtShutdown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	ctx, cancel := context.WithCancel(t.Context())
	b.office.answer(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.WriteHeader(http.StatusCreated)
	})
	newWorker(b.service, place{"a1", id}).run(ctx)
	p := &progress{}
	if _, err := read(t.Context(), b.engine, records("a1").progress(id), p); err != nil || p.Sender != "" || p.Told["a1"]["Email"] != "2" {
		t.Errorf("progress %+v, %v, want no lease and what was told", p, err)
	}
}

func TestAnAccountWithoutSubscriptionsIsNotRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.verified("d", "")
	for i := range 100 {
		b.mail.set(t, "other"+strconv.Itoa(i), map[string]string{"Email": "1"})
	}
	stop := b.run(b.service)
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	b.until("the message", func() bool { return b.office.count() == 1 })
	stop()
	b.mail.mu.Lock()
	defer b.mail.mu.Unlock()
	if b.mail.reads > 20 {
		t.Errorf("states were read %d times for one subscription", b.mail.reads)
	}
}
