package jmap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// outcomeOK is the outcome of a method call without an error.
const outcomeOK = "ok"

// maxAnswer is how many octets of responses one request may gather: when they are
// reached, the calls that follow are refused. The last call may go beyond, so that
// whatever a single call returns can be had.
const maxAnswer = 64 << 20

// Process answers the body of one API request for a principal (RFC 8620 §3). The
// answer is an encoded Response object, or the problem for which the whole request
// is refused.
func (s *Service) Process(ctx context.Context, p *Principal, body []byte) ([]byte, *Problem) {
	req, problem := ParseRequest(body)
	if problem != nil {
		return nil, problem
	}
	return s.Answer(ctx, p, req)
}

// Answer is Process for a request that has been parsed.
func (s *Service) Answer(ctx context.Context, p *Principal, req *Request) ([]byte, *Problem) {
	if problem := s.checkRequest(req); problem != nil {
		return nil, problem
	}
	state, err := s.sessionState(p)
	if err != nil {
		s.logger.ErrorContext(ctx, "session object failed", slog.Any("error", err))
		return nil, NewProblem(http.StatusInternalServerError, "the session object could not be made")
	}
	b := s.newBatch(p, req)
	for _, call := range req.Calls {
		b.run(ctx, call)
	}
	answer, err := b.encode(state)
	if err != nil {
		s.logger.ErrorContext(ctx, "response failed", slog.Any("error", err))
		return nil, NewProblem(http.StatusInternalServerError, "the response could not be encoded")
	}
	return answer, nil
}

func (s *Service) checkRequest(req *Request) *Problem {
	for _, uri := range req.Using {
		if _, ok := s.sessionCapabilities[uri]; !ok {
			return &Problem{
				Type:   ProblemUnknownCapability,
				Status: http.StatusBadRequest,
				Detail: fmt.Sprintf("using: %q is not a capability of this server, see capabilities in the session object", uri),
			}
		}
	}
	if int64(len(req.Calls)) > s.limits.MaxCallsInRequest {
		return NewLimitProblem(http.StatusBadRequest, "maxCallsInRequest",
			fmt.Sprintf("methodCalls: %d calls, at most %d fit one request: split it", len(req.Calls), s.limits.MaxCallsInRequest))
	}
	return nil
}

// batch is one request while its calls are processed in order.
type batch struct {
	service    *Service
	principal  *Principal
	using      map[string]bool
	createdIDs map[string]string
	tellIDs    bool
	responses  []Invocation
	// size is how many octets the responses have so far.
	size int
}

func (s *Service) newBatch(p *Principal, req *Request) *batch {
	b := &batch{
		service:    s,
		principal:  p,
		using:      make(map[string]bool, len(req.Using)),
		createdIDs: req.CreatedIDs,
		tellIDs:    req.CreatedIDs != nil,
		responses:  make([]Invocation, 0, len(req.Calls)),
	}
	for _, uri := range req.Using {
		b.using[uri] = true
	}
	if b.createdIDs == nil {
		b.createdIDs = map[string]string{}
	}
	return b
}

// run processes one call and appends its responses.
func (b *batch) run(ctx context.Context, inv Invocation) {
	start := time.Now()
	method, known := b.service.methods[inv.Name]
	label := inv.Name
	if !known {
		label = "unknown"
	}
	responses, err := b.call(ctx, inv, method)
	outcome := outcomeOK
	if err != nil {
		e := b.methodError(ctx, label, err)
		outcome = e.Type
		responses = []Invocation{errorResponse(e, inv.ID)}
	}
	b.responses = append(b.responses, responses...)
	for _, r := range responses {
		b.size += len(r.Args)
	}
	b.service.observe(label, outcome, time.Since(start))
}

// call runs one method and encodes all that it returned.
func (b *batch) call(ctx context.Context, inv Invocation, method registeredMethod) ([]Invocation, error) {
	if method.run == nil || !b.using[method.capability] {
		return nil, &MethodError{Type: ErrorUnknownMethod}
	}
	if b.size >= maxAnswer {
		return nil, &MethodError{Type: ErrorRequestTooLarge, Description: "the responses so far fill the answer: make the call in another request"}
	}
	args, err := resolveArguments(inv.Args, b.responses, b.service.limits.MaxSizeRequest)
	if err != nil {
		return nil, err
	}
	call := &Call{
		Principal:  b.principal,
		Name:       inv.Name,
		Args:       args,
		CreatedIDs: b.createdIDs,
		Limits:     &b.service.limits,
		Using:      b.using,
		Partial:    method.partial,
		service:    b.service,
	}
	result, err := protect(ctx, call, method.run)
	if err != nil {
		return nil, err
	}
	results := append([]invocationResult{{name: inv.Name, result: result}}, call.extra...)
	responses := make([]Invocation, 0, len(results))
	for _, r := range results {
		raw, err := encodeResult(r.result)
		if err != nil {
			return nil, fmt.Errorf("encode response %q: %w", r.name, err)
		}
		responses = append(responses, Invocation{Name: r.name, Args: raw, ID: inv.ID})
	}
	return responses, nil
}

// methodError turns any error of a method into what the client may see.
func (b *batch) methodError(ctx context.Context, method string, err error) *MethodError {
	if e, ok := errors.AsType[*MethodError](err); ok {
		if e.Type == ErrorServerPartialFail {
			b.service.logger.ErrorContext(ctx, "method failed half-way", slog.String("method", method), slog.Any("error", err))
		}
		return e
	}
	if ctx.Err() != nil {
		return &MethodError{Type: ErrorServerUnavailable, Description: "the request was not finished in time, try again later"}
	}
	attrs := []any{slog.String("method", method), slog.Any("error", err)}
	if Unavailable(err) {
		b.service.logger.WarnContext(ctx, "method not answered", attrs...)
		return &MethodError{Type: ErrorServerUnavailable, Description: "the store is not available now, try again later"}
	}
	if e, ok := errors.AsType[*panicError](err); ok {
		attrs = append(attrs, slog.String("stack", e.stack))
	}
	b.service.logger.ErrorContext(ctx, "method failed", attrs...)
	return &MethodError{Type: ErrorServerFail, Description: "internal error, see the server's log"}
}

// encode renders the Response object (RFC 8620 §3.4).
func (b *batch) encode(sessionState string) ([]byte, error) {
	size := 64
	for _, r := range b.responses {
		size += len(r.Args) + len(r.Name) + len(r.ID) + 16
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	buf.WriteString(`{"methodResponses":[`)
	for i, r := range b.responses {
		if i > 0 {
			buf.WriteByte(',')
		}
		if err := writeJSON(buf, "[", r.Name, ","); err != nil {
			return nil, err
		}
		buf.Write(r.Args)
		if err := writeJSON(buf, ",", r.ID, "]"); err != nil {
			return nil, err
		}
	}
	buf.WriteByte(']')
	if b.tellIDs {
		if err := writeJSON(buf, `,"createdIds":`, b.createdIDs, ""); err != nil {
			return nil, err
		}
	}
	if err := writeJSON(buf, `,"sessionState":`, sessionState, "}"); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func writeJSON(buf *bytes.Buffer, before string, value any, after string) error {
	raw, err := encodeResult(value)
	if err != nil {
		return err
	}
	buf.WriteString(before)
	buf.Write(raw)
	buf.WriteString(after)
	return nil
}

// encodeResult encodes with the semantics of encoding/json, in which nil is null,
// and without escapes for HTML.
func encodeResult(value any) (json.RawMessage, error) {
	if raw, ok := value.(json.RawMessage); ok {
		return raw, nil
	}
	if a, ok := value.(appender); ok {
		return a.appendJSON(nil)
	}
	buf := &bytes.Buffer{}
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func errorResponse(e *MethodError, id string) Invocation {
	raw, err := e.MarshalJSON()
	if err != nil {
		raw = []byte(`{"type":"` + ErrorServerFail + `"}`)
	}
	return Invocation{Name: "error", Args: raw, ID: id}
}

// panicError is the panic of a method. Its text is free of content: only runtime
// errors are told, other values by their type.
type panicError struct {
	text  string
	stack string
}

// Error tells what kind of panic it was.
func (e *panicError) Error() string { return "panic: " + e.text }

// protect runs a method and turns its panic into an error, so that one method cannot
// end the process.
func protect(ctx context.Context, call *Call, run Method) (result any, err error) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		text := fmt.Sprintf("value of type %T", value)
		if e, ok := value.(runtime.Error); ok {
			text = e.Error()
		}
		result, err = nil, &panicError{text: text, stack: strings.TrimSpace(string(debug.Stack()))}
	}()
	return run(ctx, call)
}
