package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

// pod is a replica that runs as a process of its own.
type pod struct {
	*region

	cmd *exec.Cmd
}

// roll begins another replica behind a balancer, and waits until clients are sent to it.
func (r *region) roll(t *testing.T, b *balancer, name string) *pod {
	t.Helper()
	p := &pod{region: r.twin(t, name)}
	f := &p.flags
	p.cmd = exec.Command(os.Args[0], "sync", "--region", f.region, "--cloud", f.cloud, "--geography", f.geography, "--url", r.flags.url,
		"--address", f.address, "--port", strconv.Itoa(int(f.port)), "--metrics-port", "0", "--minimum-tls", f.minimumTLS, "--tls-dir", f.tlsDir,
		"--postgres-dsn-dir", f.postgresDSNDir, "--replica", name, "--documents-dir", f.documentsDir, "--drain-delay", "10s", "--drain-timeout", "100s")
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = p.logs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-ended
	})
	p.ended = make(chan error, 1)
	go func() {
		p.ended <- p.cmd.Wait()
		close(ended)
	}()
	b.add(p.flags.url)
	eventually(t, name+" is ready", func() bool { return b.sendsTo(p.flags.url) })
	return p
}

// terminate ends a replica as Kubernetes does, and waits until it has.
func (p *pod) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("%s ended with: %v\n%s", p.flags.replica, err, p.logs)
	}
}

// worker is a client that does one thing after the other. It never sends a request again
// by itself; net/http does so where the protocol lets a client do it unasked: what
// was not sent at all, what GOAWAY or REFUSED_STREAM tells to be untouched (RFC 9113 §6.8
// and §8.7), and what is idempotent on a connection that was closed (RFC 9112 §9.3.1).
type worker struct {
	*user

	// rounds counts what is done, and created are the emails that it made.
	rounds  atomic.Int64
	created []string
}

// newWorker signs a user in at a region with a client of one protocol.
func (r *region) newWorker(t *testing.T, name, protocol string) *worker {
	t.Helper()
	return &worker{user: (&region{flags: r.flags, issuer: r.issuer, client: r.speaking(t, protocol), logs: r.logs}).user(t, name)}
}

// speaking is a client of its own that speaks one protocol.
func (r *region) speaking(t *testing.T, protocol string) *http.Client {
	t.Helper()
	transport := as[*http.Transport](t, r.client.Transport).Clone()
	transport.TLSClientConfig.NextProtos, transport.ForceAttemptHTTP2 = []string{protocol}, protocol == "h2"
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// exchange sends a request, which must be answered as good.
func (w *worker) exchange(method, path, contentType, body string) (string, error) {
	req, err := http.NewRequest(method, w.region.flags.url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", contentType)
	resp, err := w.region.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	return string(answer), err
}

// round uploads a letter, imports it, reads it and changes it, each by a request of its own.
func (w *worker) round() error {
	content := fmt.Sprintf("Subject: %d\r\n\r\n%s", w.rounds.Load(), strings.Repeat("x", 10_000))
	answer, err := w.exchange(http.MethodPost, "/jmap/upload/"+w.account+"/", "message/rfc822", content)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	answer, err = w.method("Email/import", fmt.Sprintf(`"emails":{"m":{"blobId":%q,"mailboxIds":{%q:true}}}`, field(answer, "blobId"), w.boxes["inbox"]))
	if err != nil {
		return err
	}
	id, blob := field(answer, "id"), field(answer, "blobId")
	if id == "" {
		return fmt.Errorf("import: %s", answer)
	}
	w.created = append(w.created, id)
	answer, err = w.method("Email/set", fmt.Sprintf(`"update":{%q:{"keywords/$seen":true}}`, id))
	if err != nil || !strings.Contains(answer, `"updated":{"`+id) {
		return fmt.Errorf("change: %w %s", err, answer)
	}
	answer, err = w.exchange(http.MethodGet, "/jmap/download/"+w.account+"/"+blob+"/m", "", "")
	if err != nil || answer != content {
		return fmt.Errorf("download: %w, %d octets of %d", err, len(answer), len(content))
	}
	if _, err = w.exchange(http.MethodGet, sessionPath, "", ""); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	w.rounds.Add(1)
	return nil
}

func (w *worker) method(name, args string) (string, error) {
	answer, err := w.exchange(http.MethodPost, "/jmap/api", "application/json", fmt.Sprintf(`{%s,"methodCalls":[[%q,{"accountId":%q,%s},"0"]]}`, usingMail, name, w.account, args))
	if err == nil && strings.Contains(answer, `["error",`) {
		err = errors.New(answer)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return answer, nil
}

// field finds the first value of a name in JSON without spaces.
func field(document, name string) string {
	_, rest, _ := strings.Cut(document, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// follow keeps an event stream open, anew whenever the server ends it, until the context
// ends or a stream breaks. It returns how often the server ended one in order.
func (w *worker) follow(ctx context.Context) (ends int, err error) {
	for ; ; ends++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.region.flags.url+"/jmap/eventsource?types=Email&closeafter=no&ping=0", nil)
		if err != nil {
			return ends, err
		}
		req.Header.Set("Authorization", "Bearer "+w.token)
		resp, err := w.region.client.Do(req)
		if err != nil {
			return ends, err
		}
		if resp.StatusCode != http.StatusOK {
			return ends, errors.Join(fmt.Errorf("event stream: status %d", resp.StatusCode), resp.Body.Close())
		}
		w.rounds.Add(1)
		_, err = io.Copy(io.Discard, bufio.NewReader(resp.Body))
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return ends, fmt.Errorf("event stream broke: %w", err)
		}
	}
}

// rollout is a region of two replicas under load.
type rollout struct {
	region    *region
	balancer  *balancer
	pods      []*pod
	workers   []*worker
	listeners []*worker
}

func newRollout(t *testing.T) *rollout {
	t.Helper()
	r := newRegion(t)
	r.onPostgres(t, "none", map[string]string{"main": postgrestest.Shared(t).Database(t)})
	o := &rollout{region: r, balancer: newBalancer(t, r.client)}
	r.flags.url = o.balancer.url
	r.write(t, r.document())
	o.pods = []*pod{r.roll(t, o.balancer, "sync-0"), r.roll(t, o.balancer, "sync-1")}
	for i, protocol := range []string{"http/1.1", "h2", "http/1.1", "h2"} {
		o.workers = append(o.workers, r.newWorker(t, fmt.Sprint("worker", i), protocol))
		o.listeners = append(o.listeners, r.newWorker(t, fmt.Sprint("worker", i), protocol))
	}
	return o
}

// rounds waits until each worker has done some more.
func (o *rollout) rounds(t *testing.T, more int64, failed <-chan error) {
	t.Helper()
	for _, w := range o.workers {
		for want := w.rounds.Load() + more; w.rounds.Load() < want; {
			select {
			case err := <-failed:
				t.Fatalf("a request failed: %v", err)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

func TestReplicasAreReplacedUnderLoadWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	o := newRollout(t)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var work, listening sync.WaitGroup
	var done atomic.Bool
	var ends atomic.Int64
	failed := make(chan error, len(o.workers)+len(o.listeners))
	for i := range o.workers {
		work.Go(func() {
			for !done.Load() {
				if err := o.workers[i].round(); err != nil {
					failed <- err
					return
				}
			}
		})
		listening.Go(func() {
			n, err := o.listeners[i].follow(ctx)
			ends.Add(int64(n))
			if ctx.Err() == nil {
				failed <- err
			}
		})
	}
	defer listening.Wait()
	defer hangUp()
	defer work.Wait()
	defer done.Store(true)
	for i, old := range o.pods {
		o.rounds(t, 3, failed)
		o.pods[i] = o.region.roll(t, o.balancer, fmt.Sprint("sync-", i+2))
		old.terminate(t)
		if n := o.balancer.connections(old.flags.url); n == 0 {
			t.Errorf("%s had no client: nothing was shown", old.flags.replica)
		}
	}
	o.rounds(t, 3, failed)
	done.Store(true)
	work.Wait()
	hangUp()
	listening.Wait()
	close(failed)
	for err := range failed {
		t.Errorf("a request failed: %v", err)
	}
	if ends.Load() == 0 {
		t.Error("no client was told to open its event stream anew")
	}
	for _, w := range o.workers {
		if total := w.one(t, "Email/query", `"calculateTotal":true,"filter":{"hasKeyword":"$seen"}`)["total"]; total != float64(len(w.created)) {
			t.Errorf("%v emails, want %d: a request was lost or taken twice", total, len(w.created))
		}
	}
}

// TestReplicaThatIsKilledIsSeenToFail shows that the test above would see a replica that
// leaves its clients.
func TestReplicaThatIsKilledIsSeenToFail(t *testing.T) {
	t.Parallel()
	o := newRollout(t)
	broken := make(chan error, len(o.listeners))
	for _, listener := range o.listeners {
		go func() {
			_, err := listener.follow(t.Context())
			broken <- err
		}()
	}
	for _, listener := range o.listeners {
		eventually(t, "the stream is open", func() bool { return listener.rounds.Load() > 0 })
	}
	for _, p := range o.pods {
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for range o.listeners {
		if err := <-broken; err == nil {
			t.Error("a client did not notice")
		}
	}
}
