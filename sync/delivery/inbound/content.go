package inbound

import "time"

// endOfContent ends a message after a line that was not ended.
const endOfContent = "\r\n.\r\n"

// Where in a line the content stands.
const (
	atStart = iota
	afterDot
	afterDotCR
	afterCR
	inText
)

// content follows the lines of a message up to its end, which is CRLF "." CRLF and nothing else (RFC 5321 section
// 4.1.1.4). It passes lines on as they are, dots included, but never a CR or LF that is not part of a CRLF.
//
// A message with such a CR or LF is read to its end and refused. Servers that take "LF . LF", "CR . CR" or a mixture
// for the end let whoever writes a message put a second one behind it, in the name of the first server ("SMTP
// smuggling"). Mending the line ends instead would do the same to the next server, and break signatures.
type content struct {
	deadline time.Time
	state    int
	size     int64
	bare     bool
	// closing is what ends the message for the reader above after a bare CR or LF.
	closing string
	ended   bool
}

func newContent(deadline time.Time) *content { return &content{deadline: deadline} }

// step takes an octet and appends what may be passed on to out.
func (c *content) step(out []byte, octet byte) []byte {
	c.size++
	before := c.state
	if before == afterCR || before == afterDotCR {
		return c.afterCR(out, octet)
	}
	switch octet {
	case '\n':
		c.spoil(before)
		c.state = inText
		return out
	case '\r':
		// Whether this CR may be passed on, the next octet tells.
		c.state = afterCR
		if before == afterDot {
			c.state = afterDotCR
		}
		return out
	case '.':
		c.state = inText
		if before == atStart {
			c.state = afterDot
		}
	default:
		c.state = inText
	}
	return c.pass(out, octet)
}

// afterCR takes the octet after a CR.
func (c *content) afterCR(out []byte, octet byte) []byte {
	before := c.state
	switch octet {
	case '\n':
		c.state = atStart
		if c.ended = before == afterDotCR; c.ended && c.bare {
			return append(out, c.closing...)
		}
		return c.pass(out, '\r', '\n')
	case '\r':
		c.state = afterCR
	default:
		c.state = inText
	}
	c.spoil(before)
	return out
}

func (c *content) pass(out []byte, octets ...byte) []byte {
	if c.bare {
		return out
	}
	return append(out, octets...)
}

// spoil notes a bare CR or LF, and how the reader above, which saw nothing of it, reaches the end of the message.
func (c *content) spoil(state int) {
	if c.bare {
		return
	}
	c.bare = true
	switch state {
	case atStart:
		c.closing = endOfContent[2:]
	case afterDot, afterDotCR:
		c.closing = endOfContent[:2]
	default:
		c.closing = endOfContent
	}
}
