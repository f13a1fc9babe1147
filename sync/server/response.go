package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// progressUnit is how many octets of a body each deadline is for.
const progressUnit = 64 << 10

// response remembers the status and size of an answer, and moves the deadlines of its
// connection or stream as bodies make progress.
type response struct {
	http.ResponseWriter

	control  *http.ResponseController
	progress time.Duration
	code     int
	written  int64
}

func newResponse(w http.ResponseWriter, progress time.Duration) *response {
	return &response{ResponseWriter: w, control: http.NewResponseController(w), progress: progress}
}

// Unwrap gives http.ResponseController the writer below.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the status.
func (w *response) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write sends p in parts, each with its own deadline.
func (w *response) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	total := 0
	for {
		part := p[total:min(len(p), total+progressUnit)]
		if err := w.writeWithin(w.progress); err != nil {
			return total, err
		}
		n, err := w.ResponseWriter.Write(part) //nolint:gosec // G705: by the headers of secure no browser shows, sniffs or runs what is sent
		total += n
		w.written += int64(n)
		if err != nil || total == len(p) {
			return total, err
		}
	}
}

func (w *response) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

// readWithin sets the deadline for reading the request; zero means none.
func (w *response) readWithin(limit time.Duration) error {
	return setDeadline(w.control.SetReadDeadline, limit)
}

// writeWithin sets the deadline for writing the answer; zero means none.
func (w *response) writeWithin(limit time.Duration) error {
	return setDeadline(w.control.SetWriteDeadline, limit)
}

// setDeadline is fine with a writer that has no deadlines, such as a recorder.
func setDeadline(set func(time.Time) error, limit time.Duration) error {
	deadline := time.Time{}
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	if err := set(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// progressBody gives each read of a request body its own deadline, and none once the
// body has been read: what follows is the server's time, not the client's; that of an
// HTTP/2 stream has no effect any more then. A deadline
// that was set a moment ago is left as it is, since moving one has its cost; the first
// is that which the HTTP server gives each request.
type progressBody struct {
	io.ReadCloser

	response *response
	// moved is when the deadlines were last set.
	moved time.Time
	// whole is true when the deadline for reading is the connection's, not that of the request alone.
	whole bool
}

// moment is the part of the time for progress in which a deadline is not moved.
const moment = 8

// Read reads the next part of the body.
func (b *progressBody) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.moved) > b.response.progress/moment {
		if err := errors.Join(b.response.readWithin(b.response.progress), b.response.writeWithin(b.response.progress+requestTimeout)); err != nil {
			return 0, err
		}
		b.moved = now
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && b.whole {
		if err := b.response.readWithin(0); err != nil {
			return n, err
		}
	}
	return n, err
}

// sendJSON sends a value as JSON, compressed when the client can read that.
func sendJSON(w http.ResponseWriter, r *http.Request, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		sendProblem(w, r, jmap.NewProblem(http.StatusInternalServerError, "the answer could not be encoded"))
		return
	}
	send(w, r, http.StatusOK, contentJSON, raw)
}

// sendProblem sends a problem document (RFC 7807) with its status.
func sendProblem(w http.ResponseWriter, r *http.Request, problem *jmap.Problem) {
	raw, err := json.Marshal(problem)
	if err != nil {
		raw = []byte(`{"type":"` + jmap.ProblemBlank + `"}`)
	}
	send(w, r, problem.Status, jmap.ProblemContentType, raw)
}

// send sends a body. Errors of writing mean that the client is gone, and nobody is
// left to tell.
func send(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	sendEncoded(w, r, status, contentType, encode(body, wanted(r)))
}

func sendEncoded(w http.ResponseWriter, r *http.Request, status int, contentType string, e encoded) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Add("Vary", "Accept-Encoding")
	if e.coding != identity {
		h.Set("Content-Encoding", string(e.coding))
	}
	h.Set("Content-Length", strconv.Itoa(len(e.body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(e.body)
	}
}
