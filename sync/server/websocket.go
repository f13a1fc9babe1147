package server

import (
	"bufio"
	"crypto/fips140"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// subprotocol is what a client must offer in the handshake (RFC 8887 §4.2).
const subprotocol = "jmap"

// webSocketCapability is the value of the capability (RFC 8887 §3).
type webSocketCapability struct {
	URL          string `json:"url"`
	SupportsPush bool   `json:"supportsPush"`
}

func newWebSocketCapability(baseURL string) jmap.Capability {
	return jmap.Capability{
		URI:         jmap.WebSocketCapability,
		Session:     webSocketCapability{URL: "wss" + strings.TrimPrefix(baseURL, "https") + jmap.PathWebSocket, SupportsPush: true},
		SessionOnly: true,
	}
}

// serveWebSocket keeps a WebSocket open (RFC 8887) until the client leaves, the token
// expires or is no longer accepted, or the server shuts down.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	p, ok := s.admit(w, r)
	if !ok {
		return
	}
	if problem := checkHandshake(w.Header(), r); problem != nil {
		sendProblem(w, r, problem)
		return
	}
	release, ok := s.streams.acquire(p.AccountID)
	if !ok {
		s.hold(r.Context(), p.AccountID, limitStreams)
		w.Header().Set("Retry-After", "60")
		sendProblem(w, r, jmap.NewProblem(http.StatusTooManyRequests, fmt.Sprintf("%d event streams and WebSockets of this account are open already: close one", s.options.Push.MaxStreams)))
		return
	}
	defer release()
	s.sockets.Add(1)
	defer s.sockets.Done()
	conn, err := accept(&upgrade{ResponseWriter: w, progress: s.options.Progress}, r)
	if err != nil {
		s.logger.DebugContext(r.Context(), "handshake failed", slog.Any("error", err))
		return
	}
	s.metrics.sockets.Inc()
	defer s.metrics.sockets.Dec()
	err = newSocket(s, conn, r, p).run(r.Context())
	s.logger.DebugContext(r.Context(), "WebSocket ended", slog.String("tenant", p.Tenant), slog.Any("reason", err))
}

// checkHandshake refuses what does not open a WebSocket with our subprotocol
// (RFC 6455 §4.2.1). Other origins are refused too: the server has no pages, so a
// browser that connects from one was sent by somebody else (RFC 6455 §10.2).
func checkHandshake(answer http.Header, r *http.Request) *jmap.Problem {
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return jmap.NewProblem(http.StatusUpgradeRequired, "open the WebSocket over HTTP/1.1: offer http/1.1 alone in the TLS handshake")
	case r.Method != http.MethodGet || !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		answer.Set("Connection", "Upgrade")
		answer.Set("Upgrade", "websocket")
		return jmap.NewProblem(http.StatusUpgradeRequired, "this resource is a WebSocket: send a GET request with Upgrade: websocket")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		answer.Set("Connection", "Upgrade")
		answer.Set("Upgrade", "websocket")
		answer.Set("Sec-WebSocket-Version", "13")
		return jmap.NewProblem(http.StatusUpgradeRequired, "Sec-WebSocket-Version: send 13")
	case !isHandshakeKey(r.Header.Values("Sec-WebSocket-Key")):
		return jmap.NewProblem(http.StatusBadRequest, "Sec-WebSocket-Key: send one, of 16 octets in base64")
	case !slices.Contains(tokens(r.Header, "Sec-Websocket-Protocol"), subprotocol):
		return jmap.NewProblem(http.StatusBadRequest, `Sec-WebSocket-Protocol: offer "`+subprotocol+`"`)
	case !isOwnOrigin(r):
		return jmap.NewProblem(http.StatusForbidden, "Origin: pages of other hosts are not served")
	}
	return nil
}

func isHandshakeKey(keys []string) bool {
	if len(keys) != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0]))
	return err == nil && len(key) == 16
}

func isOwnOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

func hasToken(h http.Header, name, token string) bool {
	return slices.ContainsFunc(tokens(h, name), func(t string) bool { return strings.EqualFold(t, token) })
}

// tokens splits the values of a header that is a list.
func tokens(h http.Header, name string) []string {
	var all []string
	for _, value := range h.Values(name) {
		for token := range strings.SplitSeq(value, ",") {
			all = append(all, strings.TrimSpace(token))
		}
	}
	return all
}

// accept finishes the handshake. Messages are not compressed: what a client writes
// and what it reads could be told from their size together.
func accept(w http.ResponseWriter, r *http.Request) (conn *websocket.Conn, err error) {
	// The handshake hashes a nonce of the client with SHA-1 to show that the server
	// speaks WebSocket (RFC 6455 §1.3). It protects nothing, so that strict FIPS mode,
	// which ends the process on SHA-1, is left for it, and for it only.
	fips140.WithoutEnforcement(func() {
		conn, err = websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, CompressionMode: websocket.CompressionDisabled})
	})
	return conn, err
}

// upgrade hands the connection of a request over.
type upgrade struct {
	http.ResponseWriter

	progress time.Duration
}

// Hijack takes the connection out of the HTTP server, and paces what is written to it.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	paced := &pacedConn{Conn: conn, progress: u.progress}
	return paced, bufio.NewReadWriter(buffered.Reader, bufio.NewWriter(paced)), nil
}

// pacedConn is a connection whose peer is served as long as it makes progress.
type pacedConn struct {
	net.Conn

	progress time.Duration
}

// Write sends p in parts, each with its own deadline.
func (c *pacedConn) Write(p []byte) (int, error) {
	total := 0
	for {
		part := p[total:min(len(p), total+progressUnit)]
		if err := c.SetWriteDeadline(time.Now().Add(c.progress)); err != nil {
			return total, err
		}
		n, err := c.Conn.Write(part)
		total += n
		if err != nil || total == len(p) {
			return total, err
		}
	}
}
