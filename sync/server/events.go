package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"reflect"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// PushLimits bound event streams (RFC 8620 §7.3) and WebSockets (RFC 8887).
type PushLimits struct {
	// MinPing and MaxPing bound the ping interval; a client's wish is clamped. By the
	// RFC, MinPing is at most 30 and MaxPing at least 300 seconds.
	MinPing, MaxPing time.Duration
	// MinGap is the least time between two state events of a stream or WebSocket: what
	// changes meanwhile is told in one.
	MinGap time.Duration
	// Recheck is how often the credentials of an open stream or WebSocket are verified
	// again.
	Recheck time.Duration
	// MaxStreams is how many streams and WebSockets one account may keep open.
	MaxStreams int64
	// KeepAlive is how often a WebSocket is pinged: a client that answers neither of
	// two pings, and reads nothing, is dropped. Zero means 30 seconds.
	KeepAlive time.Duration
}

// DefaultPushLimits returns the limits that the server starts with.
func DefaultPushLimits() PushLimits {
	return PushLimits{
		MinPing:    5 * time.Second,
		MaxPing:    15 * time.Minute,
		MinGap:     200 * time.Millisecond,
		Recheck:    30 * time.Second,
		MaxStreams: 32,
		KeepAlive:  30 * time.Second,
	}
}

const eventStream = "text/event-stream; charset=utf-8"

// accountStates are the states of data types by account.
type accountStates map[string]map[string]string

// stateChange is the data of a state event (RFC 8620 §7.1), or a message over a
// WebSocket, which has the whole state too (RFC 8887 §4.3.5.1).
type stateChange struct {
	Type      string        `json:"@type"`
	Changed   accountStates `json:"changed"`
	PushState string        `json:"pushState,omitempty"`
}

// stream is one open event source.
type stream struct {
	server    *Server
	w         *response
	request   *http.Request
	principal *jmap.Principal
	query     streamQuery
	ping      *interval
	watch     *watch
	last      accountStates
}

// serveEvents keeps an event source open (RFC 8620 §7.3) until the client leaves, the
// token expires or is no longer accepted, or the server shuts down.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	p, ok := s.admit(w, r)
	if !ok {
		return
	}
	query, problem := s.parseStreamQuery(r)
	if problem != nil {
		sendProblem(w, r, problem)
		return
	}
	if r.Method == http.MethodHead {
		send(w, r, http.StatusOK, eventStream, nil)
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
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st := &stream{server: s, w: newResponse(w, s.options.Progress), request: r, principal: p, query: query, ping: newInterval(query.ping), watch: s.newWatch()}
	current, err := st.watch.states(ctx, p)
	if err != nil {
		s.logger.ErrorContext(ctx, "states could not be read", slog.Any("error", err))
		sendProblem(w, r, jmap.NewProblem(http.StatusInternalServerError, "the states could not be read"))
		return
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	if err := st.run(ctx, current); err != nil {
		s.logger.DebugContext(ctx, "event stream ended", slog.Any("error", err))
	}
}

// run sends events until the stream ends. An error means that the client is gone or
// that the store failed.
func (st *stream) run(ctx context.Context, current accountStates) error {
	defer st.ping.stop()
	recheck := time.NewTicker(st.server.options.Push.Recheck)
	defer recheck.Stop()
	expired := time.NewTimer(time.Until(st.principal.Expires))
	defer expired.Stop()
	judged, cancel := st.server.options.Watch(st.principal.Tenant)
	defer cancel()
	done, err := st.begin(current)
	for !done && err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-st.server.draining:
			done = true
		case <-expired.C:
			done = true
		case <-recheck.C:
			done = st.changedHands()
		case <-judged:
			done = st.changedHands()
		case <-st.ping.elapsed():
			err = st.sendPing()
		case _, open := <-st.watch.own:
			if st.watch.heard(open) {
				done, err = st.changed(ctx)
			}
		case <-st.watch.changes:
			done, err = st.changed(ctx)
		}
	}
	return err
}

// changedHands asks the gate about the request again. The stream ends when it is
// refused, and also when the principal has other accounts now: the client connects
// again and learns there what has changed.
func (st *stream) changedHands() bool {
	p, refusal := st.server.options.Gate.Admit(st.request)
	return refusal != nil || !reflect.DeepEqual(p, st.principal)
}

// begin sends the headers and what the client has missed since its Last-Event-ID.
func (st *stream) begin(current accountStates) (done bool, err error) {
	h := st.w.Header()
	h.Set("Content-Type", eventStream)
	// Proxies that buffer would hold events back.
	h.Set("X-Accel-Buffering", "no")
	st.w.WriteHeader(http.StatusOK)
	if err := st.w.readWithin(0); err != nil {
		return true, err
	}
	known, resumed := decodeEventID(st.request.Header.Get("Last-Event-ID"))
	st.last = current
	// Clients that lose the connection together come back apart.
	retry := fmt.Sprintf("retry: %d\n\n", 1000+rand.IntN(4000)) //nolint:gosec // spreads load, protects nothing
	if changed := st.query.types.filter(difference(known, current)); resumed && len(changed) > 0 {
		if err := st.write(retry); err != nil {
			return true, err
		}
		return st.query.closeAfter, st.sendState(changed)
	}
	return false, st.write(retry + "id: " + encodeEventID(current) + "\n\n")
}

// changed tells the client what has changed since the last event.
func (st *stream) changed(ctx context.Context) (done bool, err error) {
	current, err := st.watch.states(ctx, st.principal)
	if err != nil {
		return true, err
	}
	changed := st.query.types.filter(difference(st.last, current))
	st.last = current
	if len(changed) == 0 {
		return false, nil
	}
	if err := st.sendState(changed); err != nil || st.query.closeAfter {
		return true, err
	}
	select {
	case <-time.After(st.server.options.Push.MinGap):
	case <-ctx.Done():
	case <-st.server.draining:
	}
	return false, nil
}

func (st *stream) sendState(changed accountStates) error {
	raw, err := json.Marshal(stateChange{Type: jmap.MessageStateChange, Changed: changed})
	if err != nil {
		return fmt.Errorf("encode state change: %w", err)
	}
	st.server.metrics.events.WithLabelValues("state").Inc()
	return st.write(fmt.Sprintf("event: state\nid: %s\ndata: %s\n\n", encodeEventID(st.last), raw))
}

func (st *stream) sendPing() error {
	st.server.metrics.events.WithLabelValues("ping").Inc()
	return st.write(fmt.Sprintf("event: ping\ndata: {\"interval\":%d}\n\n", int64(st.ping.length.Seconds())))
}

func (st *stream) write(event string) error {
	if _, err := st.w.Write([]byte(event)); err != nil {
		return err
	}
	if err := st.w.control.Flush(); err != nil {
		return err
	}
	st.ping.restart()
	// A deadline that passes between two events would end the stream.
	return st.w.writeWithin(0)
}

// difference is what current has that known has not.
func difference(known, current accountStates) accountStates {
	changed := accountStates{}
	for account, types := range current {
		for name, state := range types {
			if known[account][name] == state {
				continue
			}
			if changed[account] == nil {
				changed[account] = map[string]string{}
			}
			changed[account][name] = state
		}
	}
	return changed
}

// maxEventID bounds a Last-Event-ID that is looked at.
const maxEventID = 16 << 10

// encodeEventID encodes the whole state visible to a principal, so that a client
// that comes back is told what it missed (RFC 8620 §7.3).
func encodeEventID(states accountStates) string {
	// A map of strings always encodes.
	raw, _ := json.Marshal(states) //nolint:errchkjson // accountStates cannot fail to encode
	return base64.RawURLEncoding.EncodeToString(raw)
}

// decodeEventID reads what encodeEventID wrote. An id that is present but cannot be
// read counts as one of a client that knows nothing.
func decodeEventID(id string) (known accountStates, present bool) {
	if id == "" {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(id) > maxEventID {
		return nil, true
	}
	if err := json.Unmarshal(raw, &known); err != nil {
		return nil, true
	}
	return known, true
}
