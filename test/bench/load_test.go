package bench

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// streams is how many event streams are open at a time in the benchmarks of push.
const streams = 10_000

// listener is one open event stream.
type listener struct {
	events chan time.Time
	body   *bufio.Scanner
	close  func() error
}

// listen opens an event stream of an account and reads it until the benchmark ends. Each StateChange is told with
// the time at which it came.
func (r *region) listen(ctx context.Context, e *endpoint) (*listener, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/jmap/eventsource?types=*&closeafter=no&ping=0", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(errors.New(resp.Status), resp.Body.Close())
	}
	l := &listener{events: make(chan time.Time, 16), body: bufio.NewScanner(resp.Body), close: resp.Body.Close}
	go l.read()
	return l, nil
}

func (l *listener) read() {
	defer func() { _ = l.close() }()
	defer close(l.events)
	for l.body.Scan() {
		if strings.HasPrefix(l.body.Text(), "data:") {
			l.events <- time.Now()
		}
	}
}

// BenchmarkPush measures what idle streams cost, and how long after a delivery was acknowledged, and after it began, the
// last of its owner's streams tells of it while all of them are open.
func BenchmarkPush(b *testing.B) {
	const users, deliveries = 2500, 400
	r := startRegion(b, 1)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	owners := make([]*endpoint, users)
	each(users, 16, func(n int) { owners[n] = r.user(b, 0, "user"+time.Duration(n).String()) })
	before := r.resident(b)
	open := make([]*listener, streams)
	var failed atomic.Pointer[error]
	each(streams, 64, func(n int) {
		l, err := r.listen(ctx, owners[n%users])
		if err != nil {
			failed.Store(&err)
			return
		}
		open[n] = l
	})
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	with := r.resident(b)
	b.ReportMetric(float64(with)/(1<<20), "idle_10k_mib")
	each10k := float64(with-before) / float64(streams) / 1024
	b.ReportMetric(each10k, "idle_kib_per_connection")
	theirs := idlePeer(b)
	b.ReportMetric(theirs, "peer_idle_kib_per_connection")
	b.ReportMetric(theirs/each10k, "idle_kib_per_connection_vs_peer")
	whole, after := make([]time.Duration, 0, deliveries), make([]time.Duration, 0, deliveries)
	list := messages(deliveries)
	// The clients are one process here: that it collects the garbage of all of them is not what is measured.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for n, m := range list {
		inbox := owners[n].inbox(b)
		begin := time.Now()
		if err := r.importAll(owners[n], inbox, [][]byte{m}); err != nil {
			b.Fatal(err)
		}
		acknowledged, last := time.Now(), begin
		for at := n; at < streams; at += users { // every stream of the owner
			if told, open := <-open[at].events; !open {
				b.Fatal("an event stream ended")
			} else if told.After(last) {
				last = told
			}
		}
		whole, after = append(whole, last.Sub(begin)), append(after, max(0, last.Sub(acknowledged)))
	}
	b.ReportMetric(milliseconds(quantile(after, 0.5)), "push_p50_ms")
	b.ReportMetric(milliseconds(quantile(after, 0.99)), "push_p99_ms")
	b.ReportMetric(milliseconds(quantile(whole, 0.5)), "delivery_to_push_p50_ms")
	b.ReportMetric(milliseconds(quantile(whole, 0.99)), "delivery_to_push_p99_ms")
}

// idlePeer is the memory, in KiB, that the peer has for each client that waits for mail (IDLE, RFC 2177): its share of
// what processes share counts once.
func idlePeer(b *testing.B) float64 {
	b.Helper()
	const clients = 100
	peer := startCyrus(b)
	_ = peer.mailbox(b, "user")
	before := peer.memory(b)
	for range clients {
		c := dialIMAP(b, peer.imap, "user")
		c.command("SELECT INBOX")
		c.send("idle IDLE\r\n")
		if line := c.line(); line[0] != '+' {
			b.Fatalf("IDLE: %s", line)
		}
	}
	return float64(peer.memory(b)-before) / clients / 1024
}

// BenchmarkKill kills the server without a warning while messages are delivered, again and again, and counts those
// that it had acknowledged and does not have when it is back.
func BenchmarkKill(b *testing.B) {
	const rounds, writers, burst = 5, 4, 200
	r := startRegion(b, 1)
	e := r.user(b, 0, "user")
	inbox := e.inbox(b)
	list := messages(burst)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	for range rounds {
		var told atomic.Int64
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for n := 0; ; n++ {
					id, err := r.importOne(e, inbox, list[n%burst])
					if err != nil {
						return
					}
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
					told.Add(1)
				}
			})
		}
		for told.Load() < burst {
			time.Sleep(time.Millisecond)
		}
		r.kill()
		group.Wait()
		r.launch(b)
	}
	lost := len(acknowledged)
	for at := 0; ; at += 500 {
		ids := decode[struct{ IDs []string }](b, e.must(b, newest(inbox, at, 500)[0])[0]).IDs
		for _, id := range ids {
			if acknowledged[id] {
				lost--
			}
		}
		if len(ids) == 0 {
			break
		}
	}
	b.ReportMetric(float64(len(acknowledged)), "acknowledged")
	b.ReportMetric(float64(lost), "kill9_acknowledged_lost")
}

// each runs an action for every number below n, some at a time.
func each(n, parallel int, action func(int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for {
				at := int(next.Add(1)) - 1
				if at >= n {
					return
				}
				action(at)
			}
		})
	}
	group.Wait()
}

// BenchmarkRequests measures how many requests 64 connections get answered, each of another user who asks what
// changed.
func BenchmarkRequests(b *testing.B) {
	const connections, period = 64, 5 * time.Second
	r := startRegion(b, 1)
	users := make([]*endpoint, connections)
	each(connections, 8, func(n int) { users[n] = r.user(b, 0, "user"+time.Duration(n).String()) })
	var answered atomic.Int64
	end := time.Now().Add(period)
	var group sync.WaitGroup
	for _, e := range users {
		group.Go(func() {
			state := decode[struct{ State string }](b, e.must(b, call{"Email/get", object{"ids": []string{}}})[0]).State
			for time.Now().Before(end) {
				if _, err := e.do(call{"Email/changes", object{"sinceState": state}}); err != nil {
					b.Error(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(answered.Load())/period.Seconds(), "rps_64_connections")
}

// BenchmarkNoisyNeighbour measures how much slower the worst requests of 100 tenants get while one tenant sends as
// much as it can.
func BenchmarkNoisyNeighbour(b *testing.B) {
	const tenants, rounds, noisy = 100, 20, 32
	r := startRegion(b, tenants+1)
	users := make([]*endpoint, tenants)
	each(tenants, 8, func(n int) {
		users[n] = r.user(b, n+1, "user")
		r.fill(b, users[n], messages(60))
	})
	measure := func() time.Duration {
		var mu sync.Mutex
		var samples []time.Duration
		for range rounds {
			each(tenants, 1, func(n int) {
				begin := time.Now()
				if _, err := users[n].do(newest(users[n].inbox(b), 0, 50)...); err != nil {
					b.Error(err)
				}
				took := time.Since(begin)
				mu.Lock()
				defer mu.Unlock()
				samples = append(samples, took)
			})
		}
		return quantile(samples, 0.99)
	}
	quiet := measure()
	bully := r.user(b, 0, "bully")
	r.fill(b, bully, messages(2000))
	inbox := bully.inbox(b)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range noisy {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = bully.do(newest(inbox, 0, 500)...) // refused or not: it goes on
				}
			}
		})
	}
	loud := measure()
	close(stop)
	group.Wait()
	b.ReportMetric(milliseconds(quiet), "quiet_p99_ms")
	b.ReportMetric(milliseconds(loud), "loud_p99_ms")
	b.ReportMetric(float64(loud)/float64(quiet), "noisy_neighbour_p99_ratio")
}

// BenchmarkSearch finds a rare word in the text of 10,000 messages, beside the peer, whose index is brought up to
// date first.
func BenchmarkSearch(b *testing.B) {
	list := messages(10000)
	r := startRegion(b, 1)
	ours := r.user(b, 0, "user")
	r.fill(b, ours, list)
	peer := startCyrus(b)
	theirs := peer.mailbox(b, "user")
	dialIMAP(b, peer.imap, "user").fill(list)
	peer.index(b)
	found, took := search(b, ours)
	theirFound, theirTook := search(b, theirs)
	if found != theirFound || found != len(list)/100 {
		b.Fatalf("found %d, the peer %d of %d messages", found, theirFound, len(list)/100)
	}
	b.ReportMetric(milliseconds(took), "search_p50_ms")
	b.ReportMetric(milliseconds(theirTook), "peer_search_p50_ms")
	b.ReportMetric(float64(theirTook)/float64(took), "search_vs_peer")
}

func search(b *testing.B, e *endpoint) (found int, took time.Duration) {
	b.Helper()
	took = asked(b, e, 20, func(answers []answer) error {
		found = len(decode[struct{ IDs []string }](b, answers[0]).IDs)
		return nil
	}, call{"Email/query", object{"filter": object{"text": rare}, "sort": []object{{"property": "receivedAt", "isAscending": false}}}})
	return found, took
}
