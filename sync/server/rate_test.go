package server

import (
	"strconv"
	"testing"
	"time"
)

func TestBucketsLetABurstThroughAndThenTheRate(t *testing.T) {
	t.Parallel()
	b := newBuckets(Rate{PerSecond: 2, Burst: 3})
	now := time.Unix(1000, 0)
	for n := range 3 {
		if wait := b.take("a", now); wait != 0 {
			t.Errorf("token %d: wait %s", n, wait)
		}
	}
	if wait := b.take("a", now); wait != 500*time.Millisecond {
		t.Errorf("beyond the burst: wait %s, want 500ms", wait)
	}
	if wait := b.take("b", now); wait != 0 {
		t.Errorf("another key: wait %s", wait)
	}
	if wait := b.take("a", now.Add(500*time.Millisecond)); wait != 0 {
		t.Errorf("after the wait: wait %s", wait)
	}
}

func TestWhatIsChargedIsOwed(t *testing.T) {
	t.Parallel()
	b := newBuckets(Rate{PerSecond: 10, Burst: 100})
	now := time.Unix(1000, 0)
	b.charge("a", 250, now)
	if wait := b.take("a", now); wait != 15100*time.Millisecond {
		t.Errorf("wait %s, want 15.1s until 151 more are there", wait)
	}
	if wait := b.take("b", now.Add(12*time.Second)); wait != 0 || len(b.byKey) != 2 {
		t.Errorf("wait %s, %d buckets; one in debt is kept", wait, len(b.byKey))
	}
	if wait := b.take("a", now.Add(15100*time.Millisecond)); wait != 0 {
		t.Errorf("after the debt: wait %s", wait)
	}
}

func TestFullBucketsAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBuckets(Rate{PerSecond: 1, Burst: 10})
	now := time.Unix(1000, 0)
	for n := range 1000 {
		b.take(strconv.Itoa(n), now)
	}
	now = now.Add(11 * time.Second)
	b.take("last", now)
	if len(b.byKey) != 1 || b.used.Len() != 1 {
		t.Errorf("%d buckets, %d in the list, want 1", len(b.byKey), b.used.Len())
	}
}

func TestANegativeRateIsNoLimit(t *testing.T) {
	t.Parallel()
	b := newBuckets(Rate{PerSecond: -1})
	now := time.Unix(1000, 0)
	b.charge("a", 1<<30, now)
	if wait := b.take("a", now); wait != 0 || len(b.byKey) != 0 {
		t.Errorf("wait %s, %d buckets", wait, len(b.byKey))
	}
}

func TestLimitsThatLetNothingThroughAreRefused(t *testing.T) {
	t.Parallel()
	m := newMemory()
	for name, limits := range map[string]LoadLimits{
		"account requests": {AccountRequests: Rate{Burst: 5}},
		"tenant requests":  {TenantRequests: Rate{PerSecond: 5}},
		"account uploads":  {AccountUploads: Rate{PerSecond: 5, Burst: -1}},
		"tenant uploads":   {TenantUploads: Rate{Burst: 5}},
	} {
		_, err := New(Options{BaseURL: "https://mail.example", Blobs: m, States: m, Accounts: m, Gate: &gate{}, Load: limits})
		if want := "load limits: " + name + ": "; err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// BenchmarkTake is what the rate of one request costs.
func BenchmarkTake(b *testing.B) {
	rates := newBuckets(Rate{PerSecond: 1e12, Burst: 1 << 40})
	b.ReportAllocs()
	for b.Loop() {
		if wait := rates.take("account", time.Now()); wait != 0 {
			b.Fatal(wait)
		}
	}
}
