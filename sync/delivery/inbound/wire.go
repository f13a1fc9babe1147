package inbound

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

const (
	// lineSize is the longest command. It is well below what the library buffers, so that one reply line of the library,
	// which may repeat a command, is one write.
	lineSize = 2048
	// handshakeTimeout bounds a TLS handshake, writeTimeout a reply.
	handshakeTimeout = 30 * time.Second
	writeTimeout     = time.Minute
)

// wire is one connection below the library. It hands up one command at a time, so that what the library writes is the
// reply to it, and content only in lines that end in CRLF.
//
// Commands and replies take turns on one goroutine; mu guards what the end of the server touches from another one.
type wire struct {
	port *port
	peer netip.Addr
	// plaintext says that mail is taken without TLS; admitted that the peer may send at all.
	plaintext, admitted bool
	started             time.Time
	in                  *bufio.Reader
	// pending is what was read and not yet handed up; failed is how reading ended.
	pending []byte
	failed  error
	content *content
	// verb is the command that is being answered, commands and errors count them.
	verb             string
	commands, errors int
	greeted, secure  bool
	closed           sync.Once

	mu   sync.Mutex
	conn net.Conn
	// waiting says that a command is awaited, busy that a transaction runs.
	waiting, busy, draining bool
}

func newWire(p *port, conn net.Conn, peer netip.Addr) *wire {
	return &wire{
		port: p, peer: peer, conn: conn, started: time.Now(), in: bufio.NewReaderSize(conn, lineSize),
		plaintext: p.server.plaintext(peer), admitted: p.server.allowed(peer),
	}
}

// Read hands up a command, or a piece of content.
func (w *wire) Read(b []byte) (int, error) {
	for w.failed == nil && len(w.pending) == 0 {
		if w.content != nil {
			w.failed = w.nextContent()
		} else {
			w.failed = w.nextCommand()
		}
	}
	if len(w.pending) == 0 {
		return 0, w.failed
	}
	n := copy(b, w.pending)
	w.pending = w.pending[n:]
	return n, nil
}

// nextCommand reads commands until one is for the library, and answers the others. The error is io.EOF once the
// connection has been told to go.
func (w *wire) nextCommand() error {
	line, refused, err := w.readLine()
	switch {
	case refused != nil:
		return w.end(refused)
	case err != nil:
		return err
	}
	w.commands++
	limits := w.port.server.options.Limits
	switch {
	case w.commands > limits.Commands:
		return w.end(&refusal{"commands", "421 4.7.0 too many commands, connect again"})
	case w.errors > limits.Errors:
		return w.end(&refusal{"errors", "421 4.7.0 too many errors"})
	}
	verb, argument, _ := bytes.Cut(line, []byte(" "))
	w.verb = string(bytes.ToUpper(verb))
	if refused := w.judge(); refused != nil {
		if refused.ended() {
			return w.end(refused)
		}
		return w.refuse(refused)
	}
	if w.verb == "STARTTLS" {
		return w.startTLS(argument)
	}
	w.pending = append(bytes.Clone(line), '\r', '\n')
	return nil
}

// judge says whether a command comes too early or is none of ours; the library judges the rest.
func (w *wire) judge() *refusal {
	switch {
	case w.secure && !w.admitted:
		return &refusal{reasonCertificate, "554 5.7.1 neither your client certificate nor your network is admitted"}
	case !w.secure && !w.plaintext && !isPreliminary(w.verb):
		return &refusal{"plaintext", "530 5.7.0 issue STARTTLS first"}
	}
	switch w.verb {
	case "AUTH":
		return &refusal{"auth", "502 5.5.1 there are no passwords here: a client certificate or your network admits you"}
	case "BDAT":
		return &refusal{"chunking", "502 5.5.1 CHUNKING is not offered"}
	case "MAIL", "RCPT", "DATA":
		if !w.greeted {
			return &refusal{"sequence", "503 5.5.1 greet first: EHLO, or LHLO for LMTP"}
		}
	}
	return nil
}

// isPreliminary lists the commands that RFC 3207 section 4 allows before TLS.
func isPreliminary(verb string) bool {
	switch verb {
	case "EHLO", "HELO", "LHLO", "NOOP", "QUIT", "STARTTLS":
		return true
	}
	return false
}

// readLine reads a command. Only CRLF ends one (RFC 5321 section 2.3.8): a peer that means something else by a CR or LF
// alone would be understood in another way than it was by the server before it.
func (w *wire) readLine() ([]byte, *refusal, error) {
	limits := w.port.server.options.Limits
	if refused := w.await(time.Now().Add(limits.Command)); refused != nil {
		return nil, refused, nil
	}
	line, err := w.in.ReadSlice('\n')
	w.proceed()
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, &refusal{"line", "500 5.5.6 the command is longer than 2048 octets"}, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && w.isDraining():
		return nil, refusedStopping, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &refusal{"timeout", "421 4.4.2 no command came in time"}, nil
	case err != nil:
		return nil, nil, io.EOF
	}
	line, ended := bytes.CutSuffix(line, []byte("\r\n"))
	if !ended || bytes.ContainsAny(line, "\r\n\x00") {
		return nil, &refusal{"line-end", "500 5.5.2 a command ends in CRLF and holds no other CR, LF or NUL"}, nil
	}
	return line, nil, nil
}

// await sets the deadline of the next command, unless the connection has to go.
func (w *wire) await(deadline time.Time) *refusal {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := w.started.Add(w.port.server.options.Limits.Session)
	switch {
	case w.draining && !w.busy:
		return refusedStopping
	case time.Now().After(ends):
		return &refusal{"session", "421 4.7.0 the connection is open for too long, connect again"}
	}
	w.waiting = true
	_ = w.conn.SetReadDeadline(deadline)
	return nil
}

func (w *wire) proceed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = false
}

func (w *wire) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

// drain has the connection end as soon as no transaction runs.
func (w *wire) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if w.waiting && !w.busy {
		_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// transaction notes that a transaction begins or ends.
func (w *wire) transaction(runs bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = runs
}

func (w *wire) inTransaction() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

// startTLS runs the handshake. Nothing that came before it counts after it (RFC 3207 section 4.2), and nothing may
// come between: what a peer, or somebody in the middle, sends after the command and before the handshake would be
// taken for a command that came by TLS.
func (w *wire) startTLS(argument []byte) error {
	switch {
	case len(argument) > 0:
		return w.refuse(&refusal{"syntax", "501 5.5.4 STARTTLS takes no argument"})
	case w.secure:
		return w.refuse(&refusal{"sequence", "503 5.5.1 TLS runs already"})
	case w.inTransaction():
		return w.refuse(refusedNested)
	case w.in.Buffered() > 0:
		return w.end(&refusal{"injection", "503 5.5.1 nothing may follow STARTTLS before its reply"})
	}
	if err := w.send([]byte("220 2.0.0 go ahead\r\n")); err != nil {
		return err
	}
	conn := tls.Server(w.conn, w.port.server.tlsConfig())
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	_ = w.conn.SetDeadline(time.Now().Add(handshakeTimeout))
	if err := conn.HandshakeContext(ctx); err != nil {
		// A peer whose handshake failed does not go on in plain text.
		w.port.count(&refusal{reason: "tls"})
		w.port.server.logger.Info("TLS handshake failed", slog.String("protocol", string(w.port.protocol)))
		return io.EOF
	}
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	w.in = bufio.NewReaderSize(conn, lineSize)
	w.secure, w.greeted = true, false
	state := conn.ConnectionState()
	if err := w.port.server.certified(&state); err == nil {
		w.admitted = true
	} else if !w.admitted {
		w.port.server.logger.Warn("peer is not admitted", slog.String("protocol", string(w.port.protocol)), slog.Any("error", err))
	}
	return nil
}

// nextContent reads a piece of the message.
func (w *wire) nextContent() error {
	limits := w.port.server.options.Limits
	piece := make([]byte, 0, lineSize)
	for len(piece) < lineSize-len(endOfContent) {
		if w.in.Buffered() == 0 {
			if len(piece) > 0 {
				break
			}
			deadline := time.Now().Add(limits.Block)
			if w.content.deadline.Before(deadline) {
				deadline = w.content.deadline
			}
			_ = w.conn.SetReadDeadline(deadline)
		}
		c, err := w.in.ReadByte()
		if err != nil {
			return io.EOF
		}
		piece = w.content.step(piece, c)
		// Refused content is read to its end, since only then may the reply come; not without end.
		if w.content.size > 2*limits.MessageSize+lineSize {
			return io.EOF
		}
		if w.content.ended {
			w.content = nil
			break
		}
	}
	w.pending = piece
	return nil
}

// Close closes the connection; the library calls it more than once.
func (w *wire) Close() error {
	var err error
	w.closed.Do(func() {
		w.mu.Lock()
		conn, secure := w.conn, w.isSecure()
		w.mu.Unlock()
		err = conn.Close()
		w.port.server.metrics.sessions.WithLabelValues(string(w.port.protocol), secure).Inc()
		w.port.leave(w)
	})
	return err
}

func (w *wire) isSecure() string {
	if _, ok := w.conn.(*tls.Conn); ok {
		return "tls"
	}
	return "plain"
}
