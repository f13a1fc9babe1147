package inbound

import (
	"fmt"
	"io"
	"net"
	"time"
)

// Write sends one line of a reply of the library, and learns from it how the command fared.
func (w *wire) Write(line []byte) (int, error) {
	if len(line) < 4 {
		return len(line), w.send(line)
	}
	last := line[3] == ' '
	switch code := string(line[:3]); {
	case code == "250" && (w.verb == "EHLO" || w.verb == "LHLO"):
		return len(line), w.greet(last)
	case code == "250" && w.verb == "HELO":
		w.greeted = true
	case code == "354" && w.verb == "DATA":
		w.content = newContent(time.Now().Add(w.port.server.options.Limits.Message))
	case last && (code[0] == '4' || code[0] == '5'):
		w.errors++
	}
	return len(line), w.send(line)
}

// greet answers EHLO in place of the library: with the name of this server first (RFC 5321 section 4.1.1.1), and
// with the extensions that stand at this point of the connection.
func (w *wire) greet(last bool) error {
	if !last {
		return nil
	}
	w.greeted = true
	options := w.port.server.options
	extension := "STARTTLS"
	if w.secure {
		// RFC 8689 section 2: offered by TLS only.
		extension = "REQUIRETLS"
	}
	return w.send(fmt.Appendf(nil, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-SIZE %d\r\n250-LIMITS RCPTMAX=%d\r\n250-%s\r\n250 ENHANCEDSTATUSCODES\r\n",
		options.Hostname, options.Limits.MessageSize, options.Limits.Recipients, extension))
}

// refuse answers a command that does not reach the library.
func (w *wire) refuse(r *refusal) error {
	w.errors++
	w.port.count(r)
	return w.send([]byte(r.line()))
}

// end answers and has the connection close.
func (w *wire) end(r *refusal) error {
	if err := w.refuse(r); err != nil {
		return err
	}
	return io.EOF
}

func (w *wire) send(b []byte) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := w.conn.Write(b)
	return err
}

// LocalAddr is the server's end.
func (w *wire) LocalAddr() net.Addr { return w.conn.LocalAddr() }

// RemoteAddr is the peer's end.
func (w *wire) RemoteAddr() net.Addr { return w.conn.RemoteAddr() }

// SetDeadline does nothing, like the other two: the wire sets its deadlines itself.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
