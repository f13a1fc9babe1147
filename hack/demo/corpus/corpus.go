// Package corpus makes small mailboxes with the kinds of messages that real ones hold:
// threads, attachments, charsets, lists, invitations, signatures and bounces. The same
// owner always gets the same bytes.
package corpus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/mbox"
)

// Person is a mailbox owner or a correspondent.
type Person struct {
	Name    string
	Address string // ASCII addr-spec
}

// epoch is when the oldest message of a mailbox arrives.
var epoch = time.Date(2026, time.January, 5, 7, 30, 0, 0, time.UTC)

// generator makes the messages of one mailbox.
type generator struct {
	owner  Person
	others []Person
	random *rand.Rand
	clock  time.Time
	number int
}

// maker adds one or more messages of a kind.
type maker func(*generator) ([]letter, error)

// makers are all kinds of messages, in the order in which they arrive.
var makers = []maker{
	(*generator).welcome, (*generator).thread, (*generator).newsletter, (*generator).report, (*generator).photo,
	(*generator).archive, (*generator).accents, (*generator).oldCharsets, (*generator).internationalHeaders,
	(*generator).mailingList, (*generator).signedContract, (*generator).invitation, (*generator).bounce,
	(*generator).emptyBody, (*generator).forwarded,
}

// Generate writes the mailbox of an owner as an mbox file. The others are whom the
// owner corresponds with, at least two.
func Generate(w io.Writer, owner Person, others []Person) error {
	if len(others) < 2 { //nolint:mnd // a thread has two sides beside its owner
		return fmt.Errorf("mailbox of %q: needs two correspondents, has %d", owner.Address, len(others))
	}
	seed := sha256.Sum256([]byte(owner.Address))
	g := &generator{owner: owner, others: others, clock: epoch, random: rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed[:]), 1))} //nolint:gosec // repeatable on purpose
	for _, next := range makers {
		letters, err := next(g)
		if err != nil {
			return fmt.Errorf("mailbox of %q: %w", owner.Address, err)
		}
		for _, l := range letters {
			message := mbox.Message{Sender: l.from.Address, Received: l.received, Raw: l.bytes()}
			if err := mbox.Write(w, message); err != nil {
				return fmt.Errorf("mailbox of %q: %w", owner.Address, err)
			}
		}
	}
	return nil
}

// letter is a message on its way into the mailbox.
type letter struct {
	from     Person
	received time.Time
	fields   []field // before those of the content
	content  part
}

func (l letter) bytes() []byte {
	var out bytes.Buffer
	whole := l.content
	whole.fields = append(append([]field{}, l.fields...), whole.fields...)
	whole.render(&out)
	return out.Bytes()
}

// id returns the Message-ID of a letter.
func (l letter) id() string {
	for _, f := range l.fields {
		if f.name == "Message-ID" {
			return f.value
		}
	}
	return ""
}

// letter starts a message to the owner some minutes after the one before. The subject
// is already encoded.
func (g *generator) letter(from Person, subject string, content part, extra ...field) letter {
	g.clock = g.clock.Add(time.Duration(7+g.random.IntN(600)) * time.Minute)
	g.number++
	_, domain, _ := strings.Cut(from.Address, "@")
	id := fmt.Sprintf("<%d.%016x@%s>", g.number, g.random.Uint64(), domain)
	date := g.clock.Format("Mon, 02 Jan 2006 15:04:05 -0700")
	fields := []field{
		{"Received", fmt.Sprintf("from mx.%s (mx.%s [192.0.2.%d])\r\n\tby mx.bailiwick.example with ESMTPS; %s", domain, domain, 1+g.random.IntN(250), date)},
		{"Date", date},
		{"From", mailbox(from)},
		{"To", mailbox(g.owner)},
		{"Subject", subject},
		{"Message-ID", id},
		{"MIME-Version", "1.0"},
	}
	return letter{from: from, received: g.clock, fields: append(fields, extra...), content: content}
}

// mailbox renders a name-addr, with an RFC 2047 phrase when the name is not ASCII.
func mailbox(p Person) string {
	if isASCII(p.Name) {
		return fmt.Sprintf("%q <%s>", p.Name, p.Address)
	}
	word, err := utf8Set.word(p.Name)
	if err != nil {
		return "<" + p.Address + ">"
	}
	return word + " <" + p.Address + ">"
}

// other returns a correspondent.
func (g *generator) other(i int) Person { return g.others[i%len(g.others)] }

// one returns a single letter as the answer of a maker.
func one(l letter) ([]letter, error) { return []letter{l}, nil }
