// Package mbox reads and writes the mbox format (RFC 4155) with the reversible
// quoting of its "mboxrd" variant: a body line that starts with any number of ">" and
// "From " has one more ">" in the file.
package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// dateLayout is the date of a separator line (RFC 4155, appendix A: asctime in UTC).
const dateLayout = "Mon Jan _2 15:04:05 2006"

// separator starts the line that precedes each message.
const separator = "From "

// Message is one entry of an mbox file.
type Message struct {
	// Sender is the envelope sender of the separator line.
	Sender string
	// Received is the time of the separator line, in UTC.
	Received time.Time
	// Raw is the message as mail protocols carry it, with CRLF line ends.
	Raw []byte
}

// Write appends a message to an mbox file. Line ends become LF, and the last line
// gets one if it has none, as the format demands.
func Write(w io.Writer, m Message) error {
	if m.Sender == "" || strings.ContainsAny(m.Sender, " \t\r\n") {
		return fmt.Errorf("sender %q: must be one address without spaces", m.Sender)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s%s %s\n", separator, m.Sender, m.Received.UTC().Format(dateLayout))
	for line := range bytes.Lines(m.Raw) {
		line = trimLineEnd(line)
		if isQuotable(line) {
			out.WriteByte('>')
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	out.WriteByte('\n')
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

// isQuotable reports whether a line reads as a separator once its ">" are taken off.
func isQuotable(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte(separator))
}

func trimLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// ErrTooLarge is wrapped when a message exceeds the reader's limit.
var ErrTooLarge = errors.New("message too large")

// Reader reads the messages of an mbox file one after the other.
type Reader struct {
	lines *bufio.Reader
	limit int
	next  []byte // separator line of the next message, read ahead
	count int
	err   error
}

// NewReader returns a reader that refuses messages of more than limit bytes.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{lines: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// Next returns the next message, and io.EOF after the last one. Any other error is
// final and names the message by its number, the first being 1.
func (r *Reader) Next() (Message, error) {
	if r.err != nil {
		return Message{}, r.err
	}
	message, err := r.read()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("mbox message %d: %w", r.count+1, err)
		}
		r.err = err
		return Message{}, err
	}
	r.count++
	return message, nil
}

func (r *Reader) read() (Message, error) {
	head, err := r.head()
	if err != nil {
		return Message{}, err
	}
	message, err := parseSeparator(head)
	if err != nil {
		return Message{}, err
	}
	message.Raw, err = r.body()
	return message, err
}

// head returns the separator line of the message to read.
func (r *Reader) head() ([]byte, error) {
	if r.next != nil {
		head := r.next
		r.next = nil
		return head, nil
	}
	for {
		line, err := r.line(0)
		if err != nil {
			return nil, err
		}
		line = trimLineEnd(line)
		if len(line) == 0 {
			continue // blank lines before the first message
		}
		if !bytes.HasPrefix(line, []byte(separator)) {
			return nil, errors.New(`no separator: the file must start with a "From " line`)
		}
		return line, nil
	}
}

// body reads up to the next separator, which follows a blank line.
func (r *Reader) body() ([]byte, error) {
	raw, blank := []byte{}, false
	for {
		line, err := r.line(len(raw))
		if errors.Is(err, io.EOF) {
			return withoutTrailer(raw), nil
		}
		if err != nil {
			return nil, err
		}
		line = trimLineEnd(line)
		if blank && bytes.HasPrefix(line, []byte(separator)) {
			r.next = bytes.Clone(line)
			return withoutTrailer(raw), nil
		}
		blank = len(line) == 0
		if len(line) > 0 && line[0] == '>' && isQuotable(line) {
			line = line[1:]
		}
		raw = append(append(raw, line...), '\r', '\n')
	}
}

// withoutTrailer takes off the blank line that the format puts after a message.
func withoutTrailer(raw []byte) []byte {
	if bytes.Equal(raw, []byte("\r\n")) || bytes.HasSuffix(raw, []byte("\r\n\r\n")) {
		return raw[:len(raw)-2]
	}
	return raw
}

// line reads one line, of which a message that already has `held` bytes may keep
// what the limit leaves. A last line without line end is a line.
func (r *Reader) line(held int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		line = append(line, part...)
		if held+len(line) > r.limit {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, r.limit)
		}
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}

func parseSeparator(line []byte) (Message, error) {
	sender, date, ok := strings.Cut(strings.TrimPrefix(string(line), separator), " ")
	if !ok || sender == "" {
		return Message{}, fmt.Errorf(`separator %q: want "From <sender> <date>"`, line)
	}
	received, err := time.ParseInLocation(dateLayout, strings.TrimSpace(date), time.UTC)
	if err != nil {
		return Message{}, fmt.Errorf("separator %q: date: %w", line, err)
	}
	return Message{Sender: sender, Received: received}, nil
}
