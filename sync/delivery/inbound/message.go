package inbound

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// readSize is how much memory is asked for at a time.
const readSize = 64 << 10

// budget is memory that messages share. Who finds none left comes again later: waiting for it while holding some
// could last for ever.
type budget struct {
	mu   sync.Mutex
	left int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < n {
		return false
	}
	b.left -= n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}

// received is a message in memory.
type received struct {
	// whole is the message with our trace fields, the first prefix octets of it.
	whole    []byte
	prefix   int
	reserved int64
}

func (r *received) content() []byte { return r.whole[r.prefix:] }

// read reads a message into memory, behind the trace fields. A refused one is read to its end all the same: until
// then, what comes is content and no command.
func (s *session) read(r io.Reader, trace []byte, state *content) (*received, *refusal) {
	m := &received{whole: trace, prefix: len(trace)}
	refused := s.fill(m, r)
	if refused != nil && refused != refusedAborted {
		if _, err := io.Copy(io.Discard, r); err != nil && refused != refusedSize {
			refused = refusedAborted
		}
	}
	switch {
	case refused != nil:
	case state.bare:
		refused = refusedBare
	case hops(m.content()) > maxHops:
		refused = refusedLoop
	}
	if refused != nil {
		s.port.server.memory.give(m.reserved)
		return nil, refused
	}
	return m, nil
}

func (s *session) fill(m *received, r io.Reader) *refusal {
	limit := s.port.server.options.Limits.MessageSize
	piece := make([]byte, 4<<10)
	for {
		n, err := r.Read(piece)
		m.whole = append(m.whole, piece[:n]...)
		if int64(len(m.content())) > limit {
			return refusedSize
		}
		for int64(len(m.whole)) > m.reserved {
			if !s.port.server.memory.take(readSize) {
				return refusedMemory
			}
			m.reserved += readSize
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return refusedAborted
		}
	}
}

// deliver hands a message to the mailboxes. Whoever got it before its recipients fared differently does not get it
// again.
func (s *session) deliver(t *trace, raw *received) *message {
	m := &message{id: t.id, digest: newDigest(s.envelope.From, raw.content()), results: make([]delivery.Result, len(s.envelope.To))}
	envelope := s.envelope
	envelope.To = nil
	var places []int
	for i, to := range s.envelope.To {
		m.results[i] = delivery.Result{Address: to.Address, Outcome: delivery.Delivered}
		if s.port.protocol == SMTP && s.port.server.splits.delivered(m.digest, to.Address) {
			continue
		}
		envelope.To = append(envelope.To, to)
		places = append(places, i)
	}
	started := time.Now()
	if len(envelope.To) > 0 {
		ctx, cancel := s.port.within(s.port.server.options.Limits.Deliver)
		defer cancel()
		results := s.port.server.options.Mailboxes.Deliver(ctx, &envelope, t.at, raw.whole)
		for i, place := range places {
			m.results[place] = delivery.Result{Address: envelope.To[i].Address, Outcome: delivery.Deferred}
			if i < len(results) {
				m.results[place] = results[i]
			}
		}
	}
	s.observe(m, int64(len(raw.content())), time.Since(started))
	return m
}

// observe counts and logs what became of a message, without saying whose it is.
func (s *session) observe(m *message, size int64, took time.Duration) {
	protocol := string(s.port.protocol)
	counts := map[string]int{}
	for _, r := range m.results {
		counts[outcomeOf(r)]++
	}
	outcome := "split"
	for name, n := range counts {
		s.port.server.metrics.recipients.WithLabelValues(protocol, name).Add(float64(n))
		if n == len(m.results) {
			outcome = name
		}
	}
	s.port.server.metrics.messages.WithLabelValues(protocol, outcome).Inc()
	s.port.server.metrics.size.WithLabelValues(protocol).Observe(float64(size))
	s.port.server.metrics.duration.WithLabelValues(protocol).Observe(took.Seconds())
	s.port.server.logger.Info("message received", slog.String("protocol", protocol), slog.String("id", m.id), slog.Int64("size", size),
		slog.Int("delivered", counts["delivered"]), slog.Int("deferred", counts["deferred"]), slog.Int("failed", counts["failed"]),
		slog.Duration("took", took))
}

func outcomeOf(r delivery.Result) string {
	switch r.Outcome {
	case delivery.Delivered:
		return "delivered"
	case delivery.Failed:
		return "failed"
	default:
		return "deferred"
	}
}
