package server

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/server/slots"
)

// work does work for a principal in a slot. The slot is given back also when the work
// panics.
func (s *Server) work(ctx context.Context, p *jmap.Principal, limit string, do func()) *overLimit {
	slot, over := s.begin(ctx, p, limit)
	if over != nil {
		return over
	}
	defer slot.Release()
	do()
	return nil
}

// sharedBody is the body of an upload that is stored in a slot: while what the client
// sends is waited for, the slot is others'. What comes is charged.
type sharedBody struct {
	client    io.Reader
	ctx       context.Context //nolint:containedctx // a body lives as long as its request
	server    *Server
	principal *jmap.Principal
	slot      slots.Slot
	// held tells that there is a slot to give back.
	held bool
	// err is how reading what the client sends failed.
	err error
}

// newSharedBody waits for the slot in which an upload begins.
func (s *Server) newSharedBody(w http.ResponseWriter, r *http.Request, p *jmap.Principal) (*sharedBody, *overLimit) {
	slot, over := s.begin(r.Context(), p, limitUploads)
	if over != nil {
		return nil, over
	}
	return &sharedBody{client: http.MaxBytesReader(w, r.Body, s.options.Limits.MaxSizeUpload), ctx: r.Context(), server: s, principal: p, slot: slot, held: true}, nil
}

// Read reads the next part of the body.
func (b *sharedBody) Read(p []byte) (int, error) {
	b.release()
	n, err := b.client.Read(p)
	b.server.chargeUpload(b.principal, n)
	slot, gone := b.server.load.slots.Resume(b.ctx, b.principal.Tenant, b.principal.AccountID)
	if gone != nil {
		b.err = gone
		return n, gone
	}
	b.slot, b.held = slot, true
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// release gives the slot back when there is one.
func (b *sharedBody) release() {
	if b.held {
		b.slot.Release()
		b.held = false
	}
}
