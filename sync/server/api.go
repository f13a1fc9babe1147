package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// serveSession answers with the session object (RFC 8620 §2).
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request) {
	p, ok := s.admit(w, r)
	if !ok {
		return
	}
	session, err := s.service.Session(p)
	if err != nil {
		sendProblem(w, r, jmap.NewProblem(http.StatusInternalServerError, "the session object could not be made"))
		return
	}
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate")
	sendJSON(w, r, session)
}

// serveAPI answers an API request (RFC 8620 §3).
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	p, ok := s.admit(w, r)
	if !ok {
		return
	}
	if problem := checkJSONContent(r.Header); problem != nil {
		sendProblem(w, r, problem)
		return
	}
	if over := s.checkRequests(p); over != nil {
		s.sendLimit(w, r, p, over)
		return
	}
	release, ok := s.requests.acquire(p.AccountID)
	if !ok {
		s.sendLimit(w, r, p, s.tooManyRequests())
		return
	}
	defer release()
	body, problem := s.readRequest(w, r)
	if problem != nil {
		sendProblem(w, r, problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	var answer encoded
	if over := s.work(ctx, p, limitRequests, func() {
		var raw []byte
		if raw, problem = s.service.Process(ctx, p, body); problem == nil {
			answer = encode(raw, wanted(r))
		}
	}); over != nil {
		s.sendLimit(w, r, p, over)
		return
	}
	if problem != nil {
		sendProblem(w, r, problem)
		return
	}
	sendEncoded(w, r, http.StatusOK, contentJSON, answer)
}

// tooManyRequests is what a request is told that is one too many of its account.
func (s *Server) tooManyRequests() *overLimit {
	return &overLimit{limitRequests, time.Second, fmt.Sprintf("%d requests of this account run already: wait for one to finish", s.options.Limits.MaxConcurrentRequests)}
}

// readRequest reads the body of an API request within maxSizeRequest.
func (s *Server) readRequest(w http.ResponseWriter, r *http.Request) ([]byte, *jmap.Problem) {
	most := s.options.Limits.MaxSizeRequest
	tooLarge := jmap.NewLimitProblem(http.StatusBadRequest, "maxSizeRequest", fmt.Sprintf("the request has more than %d octets: split it, or upload blobs", most))
	if r.ContentLength > most {
		drain(w, r, most)
		return nil, tooLarge
	}
	buf := &bytes.Buffer{}
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, most))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		drain(w, r, most)
		return nil, tooLarge
	}
	if err != nil {
		return nil, jmap.NewProblem(http.StatusBadRequest, "the request body could not be read to its end")
	}
	return buf.Bytes(), nil
}

const contentJSON = "application/json"

// checkJSONContent refuses what is not declared as plain JSON (RFC 8620 §3.1).
func checkJSONContent(h http.Header) *jmap.Problem {
	declared := h.Get("Content-Type")
	if declared == contentJSON { // what nearly all clients send
		return checkIdentity(h)
	}
	mediaType, params, err := mime.ParseMediaType(declared)
	charset := params["charset"]
	switch {
	case err != nil || mediaType != contentJSON:
		return &jmap.Problem{Type: jmap.ProblemNotJSON, Status: http.StatusUnsupportedMediaType, Detail: "Content-Type: send application/json"}
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return &jmap.Problem{Type: jmap.ProblemNotJSON, Status: http.StatusUnsupportedMediaType, Detail: "Content-Type: charset: send UTF-8"}
	}
	return checkIdentity(h)
}

// checkIdentity refuses compressed request bodies, whose size a limit could not
// bound.
func checkIdentity(h http.Header) *jmap.Problem {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return jmap.NewProblem(http.StatusUnsupportedMediaType, "Content-Encoding: send the body without an encoding")
	}
	return nil
}
