package bench

import (
	"bufio"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// imapClient speaks as much IMAP (RFC 9051) as the peers need to be measured.
type imapClient struct {
	tb       testing.TB
	conn     net.Conn
	in       *bufio.Reader
	out      io.Writer
	flush    func() error
	received atomic.Int64
	tag      int
}

func dialIMAP(tb testing.TB, address, user string) *imapClient {
	tb.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	c := &imapClient{tb: tb, conn: conn, out: conn, flush: func() error { return nil }}
	c.in = bufio.NewReaderSize(counted{conn, &c.received}, 1<<16)
	if _, err := c.in.ReadString('\n'); err != nil {
		tb.Fatal(err)
	}
	c.command("LOGIN " + user + " x")
	return c
}

// compress turns on COMPRESS=DEFLATE (RFC 4978).
func (c *imapClient) compress() {
	c.tb.Helper()
	c.command("COMPRESS DEFLATE")
	c.in = bufio.NewReaderSize(flate.NewReader(counted{c.conn, &c.received}), 1<<16)
	w, err := flate.NewWriter(c.conn, flate.DefaultCompression)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.out, c.flush = w, w.Flush
}

// command sends a command and returns its untagged lines; literals in them are read and kept.
func (c *imapClient) command(line string) []string {
	c.tb.Helper()
	c.tag++
	tag := "t" + strconv.Itoa(c.tag)
	c.send(tag + " " + line + "\r\n")
	return c.collect(tag)
}

func (c *imapClient) send(text string) {
	c.tb.Helper()
	if _, err := io.WriteString(c.out, text); err != nil {
		c.tb.Fatal(err)
	}
	if err := c.flush(); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *imapClient) collect(tag string) []string {
	c.tb.Helper()
	var lines []string
	for {
		line := c.line()
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(status, "OK") {
				c.tb.Fatalf("IMAP: %s", status)
			}
			return lines
		}
		lines = append(lines, line)
	}
}

// line reads a line with the literals in it.
func (c *imapClient) line() string {
	c.tb.Helper()
	var whole strings.Builder
	for {
		part, err := c.in.ReadString('\n')
		if err != nil {
			c.tb.Fatalf("IMAP: %v after %q", err, part)
		}
		part = strings.TrimSuffix(part, "\r\n")
		whole.WriteString(part)
		open := strings.LastIndexByte(part, '{')
		if open < 0 || !strings.HasSuffix(part, "}") {
			return whole.String()
		}
		n, err := strconv.Atoi(part[open+1 : len(part)-1])
		if err != nil {
			return whole.String()
		}
		literal := make([]byte, n)
		if _, err := io.ReadFull(c.in, literal); err != nil {
			c.tb.Fatal(err)
		}
		whole.Write(literal)
	}
}

// appendAll stores messages, each in a command of its own with a non-synchronising literal (RFC 7888).
func (c *imapClient) appendAll(list [][]byte) {
	c.tb.Helper()
	for _, m := range list {
		c.tag++
		tag := "t" + strconv.Itoa(c.tag)
		c.send(fmt.Sprintf("%s APPEND INBOX {%d+}\r\n", tag, len(m)) + string(m) + "\r\n")
		c.collect(tag)
	}
}

// fill stores messages many in a command (RFC 3502), which is for when nobody measures it.
func (c *imapClient) fill(list [][]byte) {
	c.tb.Helper()
	for part := range slices.Chunk(list, 100) {
		c.tag++
		tag := "t" + strconv.Itoa(c.tag)
		var all strings.Builder
		for _, m := range part {
			fmt.Fprintf(&all, " {%d+}\r\n%s", len(m), m)
		}
		c.send(tag + " APPEND INBOX" + all.String() + "\r\n")
		c.collect(tag)
	}
}

// imapRow is what a list shows of each message, but for a preview.
const imapRow = "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE"

// imapPreview adds the preview: a client reads as much of the text as that of JMAP has.
const imapPreview = imapRow + " BODY.PEEK[1]<0.256>"

// list reads what a list of the whole inbox shows, as a client that keeps a mailbox in step does.
func (c *imapClient) list(items string) int {
	c.tb.Helper()
	return len(c.command("FETCH 1:* (" + items + ")"))
}
