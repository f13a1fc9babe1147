package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// TestBodiesOverALimitAreReadBeforeTheyAreRefused writes whole requests before it reads the answers, over one
// connection.
func TestBodiesOverALimitAreReadBeforeTheyAreRefused(t *testing.T) {
	t.Parallel()
	const most = 1000
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxSizeRequest, o.Limits.MaxSizeUpload = most, most
	})
	body := strings.Repeat("x", most+1<<20)
	sized := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	conn := r.plain(t)
	answers := bufio.NewReader(conn)
	for _, c := range []struct {
		name, path, rest string
		status           int
		limit            string
	}{
		{"request", jmap.PathAPI, sized, http.StatusBadRequest, "maxSizeRequest"},
		{"request of unknown length", jmap.PathAPI, chunked, http.StatusBadRequest, "maxSizeRequest"},
		{"upload", "/jmap/upload/ada/", sized, http.StatusRequestEntityTooLarge, "maxSizeUpload"},
		{"upload of unknown length", "/jmap/upload/ada/", chunked, http.StatusRequestEntityTooLarge, "maxSizeUpload"},
	} {
		head := "POST " + c.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ada\r\nContent-Type: application/json\r\n"
		if _, err := io.WriteString(conn, head+c.rest); err != nil {
			t.Fatalf("%s: write: %v", c.name, err)
		}
		resp, problem := answer(t, answers)
		wantProblem(t, resp, problem, c.status, jmap.ProblemLimit, c.limit)
	}
}

// TestBodiesFarOverALimitAreRefusedUnread sends no body at all, and is answered still.
func TestBodiesFarOverALimitAreRefusedUnread(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxSizeUpload = 1000
		o.Progress = time.Hour // a test that reads the body does not end
	})
	for name, header := range map[string]string{
		"far too large": fmt.Sprintf("Content-Length: %d", 1000+maxDrained+1),
		"waits":         "Expect: 100-continue\r\nContent-Length: 1001",
	} {
		conn := r.plain(t)
		if _, err := io.WriteString(conn, "POST /jmap/upload/ada/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ada\r\n"+header+"\r\n\r\n"); err != nil {
			t.Fatalf("%s: write: %v", name, err)
		}
		resp, problem := answer(t, bufio.NewReader(conn))
		wantProblem(t, resp, problem, http.StatusRequestEntityTooLarge, jmap.ProblemLimit, "maxSizeUpload")
	}
}

// plain opens a connection for HTTP/1.1, which ends with the test.
func (r *running) plain(t *testing.T) net.Conn {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: r.pool, NextProtos: []string{"http/1.1"}}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// answer reads the next answer of a connection.
func answer(t *testing.T, r *bufio.Reader) (*http.Response, []byte) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return resp, body
}
