package inbound

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

const (
	// splitMemory is how many facts about split messages are remembered, splitTime for how long: longer than servers
	// try to deliver (RFC 5321 section 4.5.4.1).
	splitMemory = 20_000
	splitTime   = 6 * 24 * time.Hour
)

// digest names a message of a sender.
type digest [sha256.Size]byte

func newDigest(from string, content []byte) digest {
	h := sha256.New()
	h.Write([]byte(from))
	h.Write([]byte{0})
	h.Write(content)
	return digest(h.Sum(nil))
}

// splits remembers messages whose recipients fared differently.
//
// SMTP has one reply for all recipients of a message. When one of them has the message and another has not, none is
// right: "delivered" loses the message of the other, "failed" tells the sender a lie, and "later" brings the first one
// the message again with each try. So the reply is "later", and:
//
//   - who has the message is remembered by its digest, and is not given it a second time;
//   - further messages of that sender are taken with one recipient at a time, so that each recipient has a reply of
//     its own: the sender learns of exactly those that failed.
//
// The memory is that of the process. When it is lost (a restart, another replica, too many facts), a recipient may get
// one message twice for each loss, and never does one lose a message. LMTP has a reply for each recipient and needs
// none of this.
type splits struct {
	mu    sync.Mutex
	facts map[digest]*list.Element
	order *list.List
}

type fact struct {
	key digest
	at  time.Time
}

func newSplits() *splits { return &splits{facts: map[digest]*list.Element{}, order: list.New()} }

func recipientKey(message digest, recipient string) digest {
	return sha256.Sum256(append(message[:], recipient...))
}

func senderKey(from string) digest { return sha256.Sum256([]byte("from\x00" + from)) }

func (s *splits) remember(key digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.facts[key]; ok {
		s.order.Remove(e)
	}
	s.facts[key] = s.order.PushBack(fact{key: key, at: time.Now()})
	for s.order.Len() > splitMemory {
		oldest, _ := s.order.Remove(s.order.Front()).(fact)
		delete(s.facts, oldest.key)
	}
}

func (s *splits) holds(key digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.facts[key]
	if !ok {
		return false
	}
	f, _ := e.Value.(fact)
	return time.Since(f.at) < splitTime
}

func (s *splits) delivered(message digest, recipient string) bool {
	return s.holds(recipientKey(message, recipient))
}

func (s *splits) oneByOne(from string) bool { return s.holds(senderKey(from)) }

// sum is the one reply of SMTP to what became of a message for all its recipients.
func (s *session) sum(m *message) error {
	first := m.results[0]
	same := true
	for _, r := range m.results {
		same = same && outcomeOf(r) == outcomeOf(first)
	}
	if same {
		return m.reply(first)
	}
	for _, r := range m.results {
		if r.Outcome == delivery.Delivered {
			s.port.server.splits.remember(recipientKey(m.digest, r.Address))
		}
	}
	s.port.server.splits.remember(senderKey(s.envelope.From))
	return s.refuse(refusedSplit)
}

var _ smtp.LMTPSession = (*session)(nil)
