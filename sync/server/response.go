package server

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// gzipMinimum is the least octets that are worth compressing: below, an answer fits
// one packet anyway.
const gzipMinimum = 1024

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

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
// body has been read: what follows is the server's time, not the client's.
type progressBody struct {
	io.ReadCloser

	response *response
}

// Read reads the next part of the body.
func (b *progressBody) Read(p []byte) (int, error) {
	if err := errors.Join(b.response.readWithin(b.response.progress), b.response.writeWithin(b.response.progress+requestTimeout)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
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
	send(w, r, http.StatusOK, "application/json", raw)
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
	sendEncoded(w, r, status, contentType, encode(body, wantsGzip(r)))
}

// encoded is a body as it is sent.
type encoded struct {
	body       []byte
	compressed bool
}

func wantsGzip(r *http.Request) bool { return acceptsGzip(r.Header.Values("Accept-Encoding")) }

// encode compresses a body when that is worth it and the client can read it.
func encode(body []byte, readsGzip bool) encoded {
	if len(body) >= gzipMinimum && readsGzip {
		return encoded{body: compress(body), compressed: true}
	}
	return encoded{body: body}
}

func sendEncoded(w http.ResponseWriter, r *http.Request, status int, contentType string, e encoded) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Add("Vary", "Accept-Encoding")
	if e.compressed {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(e.body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(e.body)
	}
}

func compress(body []byte) []byte {
	out := &sliceWriter{}
	zw, ok := gzipWriters.Get().(*gzip.Writer)
	if !ok {
		zw = gzip.NewWriter(out)
	}
	defer gzipWriters.Put(zw)
	zw.Reset(out)
	// Writing to memory does not fail.
	_, _ = zw.Write(body)
	_ = zw.Close()
	return out.b
}

type sliceWriter struct{ b []byte }

// Write appends p.
func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// acceptsGzip tells whether Accept-Encoding admits gzip (RFC 9110 §12.5.3).
func acceptsGzip(values []string) bool {
	accepted := false
	for entry := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(entry), ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return quality(params) > 0
		case "*":
			accepted = quality(params) > 0
		}
	}
	return accepted
}

func quality(params string) float64 {
	value, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
	if !ok {
		return 1
	}
	q, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0
	}
	return q
}
