package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"testing"
	"time"
)

// wire is a connection of HTTP/1.1, which our server and its peers speak, that is kept open: the client writes a request
// that was encoded before and reads the answer, in one goroutine, so that what is measured is the server.
type wire struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

// wire opens a connection on which calls are made.
func (e *endpoint) wire(tb testing.TB, calls ...call) *wire {
	tb.Helper()
	body, err := e.prepare(calls...)
	if err != nil {
		tb.Fatal(err)
	}
	req, err := e.newRequest(http.MethodPost, e.api, "application/json", bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	var encoded bytes.Buffer
	if err := req.Write(&encoded); err != nil {
		tb.Fatal(err)
	}
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		tb.Fatal(err)
	}
	if e.tls != nil {
		config := e.tls.Clone()
		config.ServerName, config.NextProtos = req.URL.Hostname(), nil
		conn = tls.Client(conn, config)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &wire{conn: conn, in: bufio.NewReaderSize(conn, 1<<16), request: encoded.Bytes()}
}

// ask sends the request and returns the whole answer.
func (w *wire) ask() ([]byte, error) {
	if _, err := w.conn.Write(w.request); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := read(resp)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, content)
	}
	return content, err
}

// rounds is how often the median of a request is taken; the least counts, as what else the machine does can only make a
// round slower. Peers are measured in the same way.
const rounds = 5

// asked sends the same request again and again, n times in each round, and returns the median of how long the whole answer
// took to be there. What the client makes of it is its own matter, and checked apart.
func asked(tb testing.TB, e *endpoint, n int, check func([]answer) error, calls ...call) time.Duration {
	tb.Helper()
	w := e.wire(tb, calls...)
	best := time.Duration(math.MaxInt64)
	for range rounds {
		var last []byte
		best = min(best, quantile(timed(tb, n, func() (err error) {
			last, err = w.ask()
			return err
		}), 0.5))
		answers, err := answersOf(last)
		if err == nil {
			err = check(answers)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return best
}
