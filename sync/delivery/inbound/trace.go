package inbound

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxHops is how many Received fields a message has at most (RFC 5321 section 6.3).
const maxHops = 100

// trace is what a message is marked with on its way in (RFC 5321 section 4.4).
type trace struct {
	id, helo, peer, by, with string
	at                       time.Time
}

func (s *session) newTrace(now time.Time) *trace {
	t := &trace{
		id: rand.Text()[:16], helo: s.conn.Hostname(), by: s.port.server.options.Hostname, at: now,
		with: strings.ToUpper(string(s.port.protocol)),
	}
	if s.port.protocol == SMTP {
		t.with = "ESMTP"
	}
	if s.envelope.SMTPUTF8 {
		// RFC 6531 section 4.3 names these after the protocol without its E.
		t.with = "UTF8" + strings.TrimPrefix(t.with, "E")
	}
	if s.wire.secure {
		t.with += "S"
	}
	t.peer = publicLiteral(s.wire.peer)
	return t
}

// publicLiteral is the address literal of a peer (RFC 5321 section 4.1.3). Addresses inside the region's own network
// are left out: they tell those who read the message nothing but how the region is built.
func publicLiteral(peer netip.Addr) string {
	switch {
	case !peer.IsGlobalUnicast() || peer.IsPrivate():
		return ""
	case peer.Is6():
		return "IPv6:" + peer.String()
	default:
		return peer.String()
	}
}

// fields is the Received field. The recipient is not named: a message may have several, and they need not know of each
// other. The Return-Path of final delivery is the mailboxes' to write: it is theirs that delivery is final.
func (t *trace) fields() []byte {
	b := fmt.Appendf(nil, "Received: from %s", heloName(t.helo))
	if t.peer != "" {
		b = fmt.Appendf(b, " ([%s])", t.peer)
	}
	return fmt.Appendf(b, "\r\n\tby %s with %s id %s;\r\n\t%s\r\n", t.by, t.with, t.id, t.at.UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
}

// heloName is the name by which a peer introduced itself, if it is one: it says what it likes, and it shall not write
// into the field.
func heloName(s string) string {
	if s == "" || len(s) > 255 {
		return "unknown"
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:[]", r) {
			return "unknown"
		}
	}
	return s
}

// hops counts the Received fields of a message.
func hops(message []byte) int {
	count := 0
	for line := range bytes.SplitSeq(message, []byte("\r\n")) {
		if len(line) == 0 {
			break
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(bytes.TrimRight(name, " \t"), []byte("Received")) {
			count++
		}
	}
	return count
}
