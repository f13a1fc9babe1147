package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestIdleConnectionsAreTakenLeaveOfBeforeTheyAreClosed(t *testing.T) {
	t.Parallel()
	r := start(t)
	transport, ok := r.client.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the transport is a %T", r.client.Transport)
	}
	frames := idleHTTP2(t, strings.TrimPrefix(r.url, "https://"), transport.TLSClientConfig.RootCAs)
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	if end := untilGoAway(t, frames); end.ErrCode != http2.ErrCodeNo {
		t.Errorf("the connection ends with %s", end.ErrCode)
	}
	for {
		if _, err := frames.ReadFrame(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("after the farewell: %v", err)
			}
			break
		}
	}
	if err := <-stopped; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// idleHTTP2 opens a connection of HTTP/2 and sends no request.
func idleHTTP2(t *testing.T, address string, roots *x509.CertPool) *http2.Framer {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	frames := http2.NewFramer(conn, conn)
	if err := errors.Join(frames.WriteSettings(), frames.WritePing(false, [8]byte{})); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if ping, ok := frame.(*http2.PingFrame); ok && ping.IsAck() {
			return frames
		}
	}
}

func untilGoAway(t *testing.T, frames *http2.Framer) *http2.GoAwayFrame {
	t.Helper()
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			t.Fatalf("the connection was closed without a farewell: %v", err)
		}
		if end, ok := frame.(*http2.GoAwayFrame); ok {
			return end
		}
	}
}

func TestClientsThatAreAnsweredWhileTheServerDrainsConnectAnew(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]string{"HTTP/1.1": "http/1.1", "HTTP/2": "h2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, func(o *Options) { o.DrainDelay = 2 * time.Second })
			transport, ok := r.client.Transport.(*http.Transport)
			if !ok {
				t.Fatalf("the transport is a %T", r.client.Transport)
			}
			only := transport.Clone()
			only.TLSClientConfig.NextProtos, only.ForceAttemptHTTP2 = []string{protocol}, protocol == "h2"
			t.Cleanup(only.CloseIdleConnections)
			client := &http.Client{Transport: only}
			local := func() string {
				t.Helper()
				return localAddress(t, client, r.url+jmap.PathAPI)
			}
			if first := local(); first != local() {
				t.Error("the connection was not kept")
			}
			stopped := make(chan error, 1)
			go func() { stopped <- r.stop() }()
			eventually(t, "the server is not ready", func() bool {
				resp, _ := r.do(t, http.MethodGet, "/readyz", "")
				return resp.StatusCode == http.StatusServiceUnavailable
			})
			if last := local(); last == local() {
				t.Error("the connection was kept")
			}
			if err := <-stopped; err != nil {
				t.Errorf("shutdown: %v", err)
			}
		})
	}
}

// localAddress sends a request that must be answered and returns from where.
func localAddress(t *testing.T, client *http.Client, url string) (address string) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { address = info.Conn.LocalAddr().String() },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(echoRequest))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	return address
}
