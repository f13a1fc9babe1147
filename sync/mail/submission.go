package mail

import (
	"context"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// SubmissionURI names the sending of mail in requests and sessions (RFC 8621 section 1.3.2).
const SubmissionURI = "urn:ietf:params:jmap:submission"

// The values of undoStatus (RFC 8621 section 7).
const (
	undoPending  = "pending"
	undoFinal    = "final"
	undoCanceled = "canceled"
)

// The values of delivered and displayed of a DeliveryStatus (RFC 8621 section 7).
const (
	deliveredQueued  = "queued"
	deliveredYes     = "yes"
	deliveredNo      = "no"
	deliveredUnknown = "unknown"
)

// maxRecipients is the most recipients of one submission.
const maxRecipients = 500

// maxReports is how many notices a submission keeps of each kind; any more are emails only.
const maxReports = 1000

// submission is the record of an EmailSubmission (RFC 8621 section 7). What is to be sent, and to whom still, lies in
// the outbox, so that destroying the one does not touch the other.
type submission struct {
	Identity string            `json:"identity"`
	Email    string            `json:"email"`
	Thread   string            `json:"thread"`
	Envelope envelope          `json:"envelope"`
	SendAt   int64             `json:"sendAt"` // milliseconds since 1970
	Undo     string            `json:"undo"`
	Status   []recipientStatus `json:"status"`
	// DSN and MDN are the hashes of the notices that came.
	DSN []string `json:"dsn,omitempty"`
	MDN []string `json:"mdn,omitempty"`
	// EnvelopeID and MessageID are what notices about it are known by.
	EnvelopeID string `json:"envelopeId"`
	MessageID  string `json:"messageId"`
}

// recipientStatus is what became of a submission for one recipient.
type recipientStatus struct {
	Address   string `json:"address"`
	Reply     string `json:"reply"`
	Delivered string `json:"delivered"`
	Displayed bool   `json:"displayed,omitempty"`
}

// deliveryStatus is a DeliveryStatus (RFC 8621 section 7).
type deliveryStatus struct {
	SMTPReply string `json:"smtpReply"`
	Delivered string `json:"delivered"`
	Displayed string `json:"displayed"`
}

// submissionObject is a submission as clients see it.
type submissionObject struct {
	ID             string                    `json:"id"`
	IdentityID     string                    `json:"identityId"`
	EmailID        string                    `json:"emailId"`
	ThreadID       string                    `json:"threadId"`
	Envelope       envelope                  `json:"envelope"`
	SendAt         string                    `json:"sendAt"`
	UndoStatus     string                    `json:"undoStatus"`
	DeliveryStatus map[string]deliveryStatus `json:"deliveryStatus"`
	DSNBlobIDs     []string                  `json:"dsnBlobIds"`
	MDNBlobIDs     []string                  `json:"mdnBlobIds"`
}

var submissions = shelf[submission]{
	kind: typeSubmission,
	properties: []string{
		"id", "identityId", "emailId", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds",
		"mdnBlobIds",
	},
	prefix: keys.submissions,
	object: func(id string, s *submission) any { return s.object(id) },
}

func (s *submission) object(id string) submissionObject {
	out := submissionObject{
		ID: id, IdentityID: s.Identity, EmailID: s.Email, ThreadID: s.Thread, Envelope: s.Envelope, SendAt: utcDate(s.SendAt),
		UndoStatus: s.Undo, DeliveryStatus: map[string]deliveryStatus{}, DSNBlobIDs: blobIDs(s.DSN), MDNBlobIDs: blobIDs(s.MDN),
	}
	for _, r := range s.Status {
		displayed := deliveredUnknown
		if r.Displayed {
			displayed = deliveredYes
		}
		out.DeliveryStatus[r.Address] = deliveryStatus{SMTPReply: r.Reply, Delivered: r.Delivered, Displayed: displayed}
	}
	return out
}

func blobIDs(hashes []string) []string {
	out := make([]string, 0, len(hashes))
	for _, hash := range hashes {
		out = append(out, blobRef{hash: hash}.String())
	}
	return out
}

// recipient returns the status of a recipient by its address, or nil.
func (s *submission) recipient(address string) *recipientStatus {
	for i := range s.Status {
		if addressKey(s.Status[i].Address) == addressKey(address) {
			return &s.Status[i]
		}
	}
	return nil
}

// SubmissionCapability returns identities and the sending of mail for registration with the server.
func (s *Service) SubmissionCapability() jmap.Capability {
	return jmap.Capability{
		URI: SubmissionURI,
		Account: map[string]any{
			"maxDelayedSend":       int64(maxDelayedSend / time.Second),
			"submissionExtensions": s.submissionExtensions(),
		},
		Methods: map[string]jmap.Method{
			"Identity/get":                 jmap.Handle(s.identityGet),
			"Identity/changes":             jmap.Handle(s.identityChanges),
			"Identity/set":                 jmap.Handle(s.identitySet),
			"EmailSubmission/get":          jmap.Handle(s.submissionGet),
			"EmailSubmission/changes":      jmap.Handle(s.submissionChanges),
			"EmailSubmission/query":        jmap.Handle(s.submissionQuery),
			"EmailSubmission/queryChanges": jmap.Handle(s.submissionQueryChanges),
			"EmailSubmission/set":          jmap.Handle(s.submissionSet),
		},
	}
}

// submissionGet answers EmailSubmission/get (RFC 8621 section 7.1).
func (s *Service) submissionGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	return submissions.get(ctx, s, call, args)
}

// submissionChanges answers EmailSubmission/changes (RFC 8621 section 7.2).
func (s *Service) submissionChanges(ctx context.Context, _ *jmap.Call, args *jmap.ChangesArguments) (*jmap.ChangesResponse, error) {
	c, err := s.changes(ctx, typeSubmission, args)
	if err != nil {
		return nil, err
	}
	return new(changesResponse(args.AccountID, c)), nil
}

// removeSubmission removes the record of a submission and what finds it.
func (e *edit) removeSubmission(id string, sub *submission) error {
	submissions.remove(e, id)
	for _, index := range [][]byte{e.keys.envelopeID(sub.EnvelopeID), e.keys.sentMessage(sub.MessageID)} {
		// A message that was submitted again is found under the later submission.
		at, err := e.get(index)
		if err != nil {
			return err
		}
		if string(at) == id {
			e.tx.Delete(index)
		}
	}
	for _, hashes := range [][]string{sub.DSN, sub.MDN} {
		for _, hash := range hashes {
			if err := e.refer(hash, -1); err != nil {
				return err
			}
		}
	}
	return nil
}

// indexSubmission writes what finds a submission when a notice about it comes.
func (e *edit) indexSubmission(id string, sub *submission) {
	e.tx.Set(e.keys.envelopeID(sub.EnvelopeID), []byte(id))
	e.tx.Set(e.keys.sentMessage(sub.MessageID), []byte(id))
}

// updateSubmission changes the record of a submission, if there still is one.
func (e *edit) updateSubmission(id string, change func(*submission) error) error {
	sub, err := submissions.read(e.ctx, e.tx, e.account, id)
	if err != nil || sub == nil {
		return err
	}
	if err := change(sub); err != nil {
		return err
	}
	return submissions.write(e, id, sub, store.Updated)
}
