package push

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func (b *bench) set(key, value []byte) error {
	batch := &store.Batch{}
	batch.Set(key, value)
	return b.engine.Commit(b.tb.Context(), batch)
}

func TestNothingButTheVerificationIsSentUntilTheCodeIsSet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create("d", "")
	for range 3 {
		b.mail.set(t, "a1", map[string]string{"Email": "2"})
		b.look(b.service, id)
		b.clock.advance(time.Hour)
	}
	got := b.office.take()
	if len(got) != 1 {
		t.Fatalf("%d messages, want the verification alone", len(got))
	}
	h := got[0].header
	want := map[string]string{"Content-Type": "application/json", "Ttl": "604800", "Urgency": "high", "Topic": "", "Content-Encoding": "", "User-Agent": "bailiwick"}
	for name, value := range want {
		if h.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, h.Get(name), value)
		}
	}
	m := b.decode(got[0], nil)
	code := m["verificationCode"].(string)
	if len(code) < 32 || m["pushSubscriptionId"] != id || m["@type"] != "PushVerification" || len(m) != 3 {
		t.Errorf("verification %v of %s", m, id)
	}
	b.verify(id, code)
	b.look(b.service, id)
	if diff := cmp.Diff([]any{map[string]any{"a1": map[string]any{"Email": "2"}}}, b.changes()); diff != "" {
		t.Errorf("what changed since the creation (-want +got):\n%s", diff)
	}
}

func TestOnlyWhatChangedSinceTheLastAcceptedMessageIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	steps := []struct {
		set    map[string]string
		answer int
		want   []any
	}{
		{want: nil},
		{set: map[string]string{"Email": "2"}, want: []any{map[string]any{"a1": map[string]any{"Email": "2"}}}},
		{want: nil},
		{set: map[string]string{"Email": "3"}, answer: 503, want: []any{map[string]any{"a1": map[string]any{"Email": "3"}}}},
		{set: map[string]string{"Mailbox": "3"}, want: []any{map[string]any{"a1": map[string]any{"Email": "3", "Mailbox": "3"}}}},
		{want: nil},
	}
	for i, step := range steps {
		if step.set != nil {
			b.mail.set(t, "a1", step.set)
		}
		if step.answer != 0 {
			b.office.answer(status(step.answer, ""))
		}
		b.look(b.service, id)
		if diff := cmp.Diff(step.want, b.changes()); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
		b.clock.advance(time.Minute)
	}
}

func TestOnlyTheTypesThatAreAskedForAreTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", `,"types":["Mailbox","Todo"]`)
	none := b.verified("none", `,"types":[]`)
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	b.look(b.service, id)
	if got := b.changes(); got != nil {
		t.Errorf("told %v, want nothing", got)
	}
	b.mail.set(t, "a1", map[string]string{"Email": "3", "Mailbox": "3"})
	b.look(b.service, id)
	b.look(b.service, none)
	if diff := cmp.Diff([]any{map[string]any{"a1": map[string]any{"Mailbox": "3"}}}, b.changes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestKeysHaveEverythingEncrypted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	device := newBrowser(t)
	keys := fmt.Sprintf(`,"keys":{"p256dh":%q,"auth":%q}`, device.keys().P256DH, device.keys().Auth)
	id := b.create("d", keys)
	b.look(b.service, id)
	b.verify(id, b.code(device))
	b.mail.set(t, "a1", map[string]string{"EmailDelivery": "2"})
	b.look(b.service, id)
	got := b.office.take()
	if len(got) != 1 || got[0].header.Get("Content-Encoding") != "aes128gcm" || got[0].header.Get("Urgency") != "high" || got[0].path != "/secret/d" {
		t.Fatalf("messages %v, want one that is encrypted and urgent", got)
	}
	want := map[string]any{"@type": "StateChange", "changed": map[string]any{"a1": map[string]any{"EmailDelivery": "2"}}}
	if diff := cmp.Diff(want, b.decode(got[0], device)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	b.checkLogs()
}

func TestAMessageReplacesOneOfTheSameTypesAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	var topics []string
	for i, types := range [][]string{{"Email"}, {"Email"}, {"Mailbox"}, {"Email", "Mailbox"}} {
		for _, name := range types {
			b.mail.set(t, "a1", map[string]string{name: strconv.Itoa(i + 2)})
		}
		b.look(b.service, id)
		topics = append(topics, b.office.take()[0].header.Get("Topic"))
	}
	if topics[0] != topics[1] || topics[1] == topics[2] || topics[3] == topics[0] || topics[3] == topics[2] || len(topics[0]) != 32 {
		t.Errorf("topics %v", topics)
	}
}

func TestEachAnswerHasItsConsequence(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers []http.HandlerFunc
		// wait is the least and twice of it the most that is waited after the last.
		wait time.Duration
		over bool
	}{
		"200":                      {answers: []http.HandlerFunc{status(200, "")}},
		"201":                      {answers: []http.HandlerFunc{status(201, "")}},
		"202":                      {answers: []http.HandlerFunc{status(202, "")}},
		"204":                      {answers: []http.HandlerFunc{status(204, "")}},
		"404":                      {answers: []http.HandlerFunc{status(404, "")}, over: true},
		"410":                      {answers: []http.HandlerFunc{status(410, "")}, over: true},
		"413":                      {answers: []http.HandlerFunc{status(413, "")}, wait: firstBackOff},
		"429":                      {answers: []http.HandlerFunc{status(429, "120")}, wait: 2 * time.Minute},
		"500":                      {answers: []http.HandlerFunc{status(500, "")}, wait: firstBackOff},
		"500 twice":                {answers: []http.HandlerFunc{status(500, ""), status(502, "")}, wait: 2 * firstBackOff},
		"503 with a long wait":     {answers: []http.HandlerFunc{status(503, "7200")}, wait: 2 * time.Hour},
		"503 with a date":          {answers: []http.HandlerFunc{status(503, "Mon, 23 Nov 2026 12:30:00 GMT")}, wait: 29 * time.Minute},
		"503 with an endless wait": {answers: []http.HandlerFunc{status(503, "2000000000")}, wait: maxRetryAfter},
		"400":                      {answers: []http.HandlerFunc{status(400, "")}, wait: firstBackOff},
		"307":                      {answers: []http.HandlerFunc{status(307, "")}, wait: firstBackOff},
		"403 four times":           {answers: []http.HandlerFunc{status(403, ""), status(403, ""), status(403, ""), status(403, "")}, wait: 8 * firstBackOff},
		"403 five times":           {answers: []http.HandlerFunc{status(403, ""), status(403, ""), status(403, ""), status(403, ""), status(403, "")}, over: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id := b.verified("d", "")
			b.mail.set(t, "a1", map[string]string{"Email": "2"})
			var wait time.Duration
			var over bool
			for i, answer := range tc.answers {
				if i > 0 {
					b.clock.advance(maxBackOff)
				}
				b.office.answer(answer)
				_, over = b.look(b.service, id)
			}
			if over != tc.over || len(b.office.take()) != len(tc.answers) {
				t.Fatalf("over %v, want %v", over, tc.over)
			}
			if tc.over {
				if out := b.do("get", `{}`); !cmp.Equal(out["list"], []any{}) || b.records() != 0 {
					t.Errorf("%v and %d records are left", out["list"], b.records())
				}
				return
			}
			wait, _ = b.look(b.service, id)
			if idle := idleFactor * time.Minute; tc.wait == 0 && wait != idle {
				t.Errorf("wait %s, want %s", wait, idle)
			}
			if tc.wait != 0 && (wait < tc.wait || wait > 2*tc.wait) {
				t.Errorf("wait %s, want about %s", wait, tc.wait)
			}
			if len(b.office.take()) != 0 {
				t.Error("a message was sent before its time")
			}
			b.checkLogs()
		})
	}
}

func TestAPushServiceThatIsAskedTooOftenIsAskedLess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	change := 1
	next := func() time.Duration {
		change++
		b.mail.set(t, "a1", map[string]string{"Email": strconv.Itoa(change)})
		b.look(b.service, id)
		b.mail.set(t, "a1", map[string]string{"Email": strconv.Itoa(change) + "x"})
		wait, _ := b.look(b.service, id)
		b.clock.advance(max(wait, time.Hour))
		return wait
	}
	b.office.answer(status(429, ""), status(429, ""))
	next()
	next()
	if wait := next(); wait != 2*firstGap {
		t.Errorf("after two 429 the next message waits %s, want %s", wait, 2*firstGap)
	}
	if wait := next(); wait != firstGap {
		t.Errorf("then %s, want %s", wait, firstGap)
	}
	next()
	before := len(b.office.take())
	change++
	b.mail.set(t, "a1", map[string]string{"Email": "last"})
	b.look(b.service, id)
	b.mail.set(t, "a1", map[string]string{"Email": "very last"})
	b.look(b.service, id)
	if got := len(b.office.take()); got != 2 || before == 0 {
		t.Errorf("%d of 2 messages go out at once when all is well again", got)
	}
}

func TestAVerificationIsNotRepeatedAfterAnAnswer(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 400, 404, 410, 413, 429, 500, 503} {
		b := newBench(t)
		id := b.create("d", "")
		b.office.answer(status(code, ""))
		if _, over := b.look(b.service, id); !over || b.records() != 0 || b.office.count() != 1 {
			t.Errorf("%d: over %v, %d records, %d messages", code, over, b.records(), b.office.count())
		}
	}
}

func TestAVerificationThatReachesNobodyIsTriedAFewTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	// Nobody listens on the port, and nobody is given it.
	b.do("set", `{"create":{"k":{"deviceClientId":"d","url":"https://127.0.0.1:1/secret"}}}`)
	id := b.call.CreatedIDs["k"]
	over, tries := false, 0
	for ; !over && tries < 10; tries++ {
		_, over = b.look(b.service, id)
		b.clock.advance(time.Hour)
	}
	if tries != maxIntroductions || b.records() != 0 {
		t.Errorf("%d tries, want %d", tries, maxIntroductions)
	}
	b.checkLogs()
}

func TestAnExpiredSubscriptionIsRemovedAndNotSentTo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", `,"expires":"2026-11-23T12:05:00Z"`)
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	if wait, _ := b.look(b.service, id); wait > 5*time.Minute {
		t.Errorf("the next look is in %s, after the end", wait)
	}
	if h := b.office.take()[0].header; h.Get("TTL") != "300" {
		t.Errorf("TTL %s, want what is left", h.Get("TTL"))
	}
	b.mail.set(t, "a1", map[string]string{"Email": "3"})
	b.clock.advance(5 * time.Minute)
	if _, over := b.look(b.service, id); !over || b.records() != 0 || b.office.count() != 0 {
		t.Errorf("over %v, %d records, %d messages", over, b.records(), b.office.count())
	}
}

func TestAHolderWithoutStandingIsToldNothingAndCaughtUpLater(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	waiting := b.create("waiting", "")
	b.standing.deny("agency/agency", true)
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	for _, subscription := range []string{id, waiting} {
		if wait, over := b.look(b.service, subscription); over || wait != time.Minute || b.office.count() != 0 {
			t.Errorf("over %v, wait %s, %d messages", over, wait, b.office.count())
		}
	}
	b.standing.deny("agency/agency", false)
	b.look(b.service, id)
	if diff := cmp.Diff([]any{map[string]any{"a1": map[string]any{"Email": "2"}}}, b.changes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSharedAccountsAreToldOfWhileTheyAreShared(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	b.mail.set(t, "team", map[string]string{"Email": "7"})
	b.look(b.service, id)
	b.standing.share("team")
	b.look(b.service, id)
	b.standing.share()
	b.mail.set(t, "team", map[string]string{"Email": "8"})
	b.look(b.service, id)
	if diff := cmp.Diff([]any{map[string]any{"team": map[string]any{"Email": "7"}}}, b.changes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatDoesNotFitOneMessageIsToldInTheNext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	var shared []string
	for i := range 60 {
		account := fmt.Sprintf("%s%02d", strings.Repeat("x", 60), i)
		b.mail.set(t, account, map[string]string{"Email": "1", "Mailbox": "1"})
		shared = append(shared, account)
	}
	b.standing.share(shared...)
	told := map[string]int{}
	for range 5 {
		b.look(b.service, id)
		for _, got := range b.office.take() {
			if len(got.body) > maxPlain {
				t.Errorf("a message has %d octets", len(got.body))
			}
			for account := range b.decode(got, nil)["changed"].(map[string]any) {
				told[account]++
			}
		}
	}
	for _, account := range shared {
		if told[account] != 1 {
			t.Errorf("account %s was told of %d times", account, told[account])
		}
	}
}

func TestASubscriptionThatWentWithItsAccountLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	batch := &store.Batch{}
	batch.DeleteRange(store.NewKey("a1").Range())
	if err := b.engine.Commit(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if _, over := b.look(b.service, id); !over || b.records() != 0 {
		t.Errorf("over %v, %d records", over, b.records())
	}
}

func TestOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.verified("d", "")
	b.mail.set(t, "a1", map[string]string{"Email": "2"})
	b.office.answer(status(500, ""), status(410, ""))
	b.look(b.service, id)
	b.clock.advance(time.Hour)
	b.look(b.service, id)
	m := b.service.metrics
	for name, got := range map[string]float64{
		"accepted": testutil.ToFloat64(m.messages.WithLabelValues("PushVerification", "accepted")),
		"later":    testutil.ToFloat64(m.messages.WithLabelValues("StateChange", "later")),
		"gone":     testutil.ToFloat64(m.messages.WithLabelValues("StateChange", "gone")),
		"removed":  testutil.ToFloat64(m.destroyed.WithLabelValues(reasonGone)),
	} {
		if got != 1 {
			t.Errorf("%s: %v, want 1", name, got)
		}
	}
}

func FuzzRetryAfterIsBounded(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "99999999999999999999", "Mon, 23 Nov 2026 12:30:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "soon"} {
		f.Add(s)
	}
	now := newClock().Now()
	f.Fuzz(func(t *testing.T, value string) {
		if wait := retryAfter(value, now); wait < 0 || wait > maxRetryAfter {
			t.Fatalf("retryAfter(%q) = %s", value, wait)
		}
	})
}
