package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

// onPostgres moves a region's store to databases, each a cell.
func (r *region) onPostgres(t *testing.T, replica string, dsns map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, dsn := range dsns {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(dsn+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What Kubernetes keeps beside the files of a mounted Secret.
	if err := os.Mkdir(filepath.Join(dir, "..2026_11_23"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.flags.dataDir, r.flags.postgresDSNDir, r.flags.replica = "", dir, replica
}

// twin is a further replica of the region, on a port of its own.
func (r *region) twin(t *testing.T, replica string) *region {
	t.Helper()
	other := &region{flags: r.flags, issuer: r.issuer, client: r.client, logs: &logBuffer{}}
	other.flags.port, other.flags.metricsPort, other.flags.replica = freePort(t), freePort(t), replica
	other.flags.url = "https://127.0.0.1:" + strconv.Itoa(int(other.flags.port))
	return other
}

func TestReplicasOfARegionServeTheSameMailboxes(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	one := newRegion(t)
	one.onPostgres(t, "sync-0", map[string]string{"east": server.Database(t), "west": server.Database(t)})
	one.start(t)
	two := one.twin(t, "sync-1")
	two.start(t)
	users := []*user{one.user(t, "user"), two.user(t, "user")}
	if users[0].account != users[1].account || len(users[1].boxes) < 6 {
		t.Fatalf("accounts %q and %q, mailboxes %v", users[0].account, users[1].account, users[1].boxes)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var streams, writers sync.WaitGroup
	listeners := []*pushed{users[0].listen(ctx, t, &streams), users[1].listen(ctx, t, &streams)}
	shared := fmt.Sprint(users[0].add(t, "inbox", strings.NewReader(letter))["id"])
	const writersCount, rounds = 6, 8
	var mismatches atomic.Int64
	for writer := range writersCount {
		u := users[writer%2]
		writers.Go(func() {
			for n := range rounds {
				keyword := fmt.Sprintf("k%d-%d", writer, n)
				if id := u.deliver(fmt.Sprintf("Subject: %s\r\n\r\n%s", keyword, strings.Repeat("x", n%2*100_000))); id == "" {
					t.Errorf("writer %d: letter %d was not delivered", writer, n)
				}
				if err := u.mark(shared, keyword, &mismatches); err != nil {
					t.Errorf("writer %d: %v", writer, err)
				}
			}
		})
	}
	writers.Wait()
	for i, u := range users {
		email := as[map[string]any](t, as[[]any](t, u.one(t, "Email/get", fmt.Sprintf(`"ids":[%q],"properties":["keywords"]`, shared))["list"])[0])
		if got := len(as[map[string]any](t, email["keywords"])); got != writersCount*rounds {
			t.Errorf("replica %d: %d keywords, want %d: changes were lost", i, got, writersCount*rounds)
		}
		inbox := as[map[string]any](t, as[[]any](t, u.one(t, "Mailbox/get", fmt.Sprintf(`"ids":[%q]`, u.boxes["inbox"]))["list"])[0])
		if inbox["totalEmails"] != float64(writersCount*rounds+1) {
			t.Errorf("replica %d: the inbox counts %v emails", i, inbox["totalEmails"])
		}
		state := fmt.Sprint(u.one(t, "Email/get", `"ids":[]`)["state"])
		eventually(t, fmt.Sprintf("listener %d knows the last state", i), func() bool { return listeners[i].state.Load() == state })
	}
	hangUp()
	streams.Wait()
}

func TestWhatWasAnsweredOutlivesAKilledDatabase(t *testing.T) {
	t.Parallel()
	server, err := postgrestest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	r := newRegion(t)
	r.onPostgres(t, "sync-0", map[string]string{"main": server.DSN("postgres")})
	r.start(t)
	u := r.user(t, "user")
	want := map[string]bool{}
	for round := range 3 {
		var mu sync.Mutex
		var told atomic.Int64
		var killed atomic.Bool
		var writers sync.WaitGroup
		for writer := range 4 {
			writers.Go(func() {
				for n := 0; !killed.Load(); n++ {
					id := u.deliver(fmt.Sprintf("Subject: %d %d %d\r\n\r\n%s", round, writer, n, strings.Repeat("x", n%2*100_000)))
					if id == "" || strings.HasPrefix(id, "<") {
						continue
					}
					mu.Lock()
					want[id] = true
					mu.Unlock()
					told.Add(1)
				}
			})
		}
		eventually(t, "letters are delivered", func() bool { return told.Load() > 20 })
		server.Kill()
		killed.Store(true)
		writers.Wait()
		r.isUnavailable(t, u)
		if err := server.Run(); err != nil {
			t.Fatal(err)
		}
		r.ready(t)
	}
	query := u.again(t, "Email/query", `"calculateTotal":true`)
	have := map[string]bool{}
	for _, id := range as[[]any](t, query["ids"]) {
		have[fmt.Sprint(id)] = true
	}
	for id := range want {
		if !have[id] {
			t.Errorf("email %q was told of, and is lost", id)
		}
	}
	changes := u.again(t, "Email/changes", `"sinceState":"0"`)
	if got := len(as[[]any](t, changes["created"])); got != len(have) || query["total"] != float64(got) {
		t.Errorf("%d of %d emails are in the change log, the query counts %v", got, len(have), query["total"])
	}
	read := u.again(t, "Email/get", fmt.Sprintf(`"ids":[%s],"properties":["blobId","size"]`, quoted(have)))
	for _, item := range as[[]any](t, read["list"]) {
		email := as[map[string]any](t, item)
		path := "/jmap/download/" + u.account + "/" + fmt.Sprint(email["blobId"]) + "/m"
		var resp *http.Response
		var body []byte
		eventually(t, "the message is there", func() bool {
			resp, body = r.do(t, http.MethodGet, path, u.token, "")
			return resp.StatusCode != http.StatusServiceUnavailable
		})
		if resp.StatusCode != http.StatusOK || float64(len(body)) != email["size"] {
			t.Errorf("email %v: status %d, %d octets of %v", email["id"], resp.StatusCode, len(body), email["size"])
		}
	}
}

// again makes one call until the store is available: connections to a database that was killed are found dead when
// they are used.
func (u *user) again(t *testing.T, method, args string) map[string]any {
	t.Helper()
	var out map[string]any
	eventually(t, method+" is answered", func() bool {
		answer := u.calls(t, [2]string{method, args})[0]
		arguments := as[map[string]any](t, answer[1])
		if answer[0] == "error" && arguments["type"] == "serverUnavailable" {
			return false
		}
		if answer[0] != method {
			t.Fatalf("%s: %v", method, answer)
		}
		out = arguments
		return true
	})
	return out
}

// isUnavailable checks what a client and a probe are told while the database is gone.
func (r *region) isUnavailable(t *testing.T, u *user) {
	t.Helper()
	resp, body := r.do(t, http.MethodGet, "/readyz", "", "")
	checks := as[map[string]any](t, decodeObject(t, body)["checks"])
	if reason := fmt.Sprint(checks["store"]); resp.StatusCode != http.StatusServiceUnavailable || !strings.HasPrefix(reason, "the database cannot be reached") {
		t.Errorf("readiness: status %d: %s", resp.StatusCode, body)
	}
	for _, path := range []string{sessionPath, "/jmap/download/" + u.account + "/Bx/m"} {
		resp, body := r.do(t, http.MethodGet, path, u.token, "")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Content-Type") != "application/problem+json" || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: status %d: %s", path, resp.StatusCode, body)
		}
	}
}

func TestUnusableStoresAreNamed(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	for _, c := range []struct{ name, cell, dsn, want string }{
		{"no file", "", "", "put the DSN of each database into a file"},
		{"weak TLS", "a", "host=db.example user=u password=geheim sslmode=require", `cell "a": the DSN lets the connection to host "db.example" be weaker than sslmode=verify-full`},
		{"no DSN", "a", "postgres://u:geheim@[", "the DSN cannot be read"},
		{"bad name", "A", server.DSN("postgres"), "lower-case letters"},
		{"wrong password", "a", fmt.Sprintf("host=127.0.0.1 port=%d user=bailiwick password=geheim dbname=postgres sslmode=disable", server.Port), "the database refused the user"},
	} {
		r := newRegion(t)
		dsns := map[string]string{}
		if c.cell != "" {
			dsns[c.cell] = c.dsn
		}
		r.onPostgres(t, "sync-0", dsns)
		_, _, err := r.flags.open(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "--postgres-dsn-dir: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
}
