package server

import (
	"io"
	"net/http"
)

// maxDrained is how much larger than a limit a body may be and still be read to its end.
const maxDrained = 16 << 20

// drain reads what is left of a body that is over a limit, before it is refused. Over HTTP/1.1 a connection ends with a
// body that was not read, and a client that sends all of a request before it looks for the answer would hear of a
// broken connection, not of the limit (RFC 8620 §3.6.1). A body that is far too large is not worth it, and neither is
// one that its client waits to send: those are refused at once.
func drain(w http.ResponseWriter, r *http.Request, most int64) {
	if r.ProtoMajor != 1 {
		return
	}
	if r.ContentLength > most+maxDrained || r.Header.Get("Expect") != "" {
		w.Header().Set("Connection", "close")
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, most+maxDrained)
}
