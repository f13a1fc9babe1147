package mail

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// SetErrors of EmailSubmission/set (RFC 8621 section 7.5).
const (
	setErrorForbiddenFrom     = "forbiddenFrom"
	setErrorForbiddenMailFrom = "forbiddenMailFrom"
	setErrorForbiddenToSend   = "forbiddenToSend"
	setErrorInvalidEmail      = "invalidEmail"
)

// submissionCreate is what a client sends to create an EmailSubmission.
type submissionCreate struct {
	IdentityID string    `json:"identityId"`
	EmailID    string    `json:"emailId"`
	Envelope   *envelope `json:"envelope"`
}

// letter is a submission that is about to be made, and is checked.
type letter struct {
	edit    *edit
	call    *jmap.Call
	now     time.Time
	want    submissionCreate
	ident   *identity
	email   *email
	senders senders
	data    []byte
	fields  message.Fields
	from    []message.Address
	// sender is the address of the Sender field; empty when there is none.
	sender string
	// addSender says that the message must name its sender, and does not.
	addSender bool
	envelope  envelope
	travel    travel
	to        []*addressee
}

// read decodes a creation and finds what it refers to, or returns a SetError.
func (l *letter) read(raw json.RawMessage) error {
	if refused := jmap.DecodeObject(raw, &l.want); refused != nil {
		return refused
	}
	var wrong []string
	e := l.edit
	identityID, known := l.call.ResolveID(l.want.IdentityID)
	ident, err := identities.read(e.ctx, e.tx, e.account, identityID)
	if err != nil {
		return err
	}
	if !known || ident == nil {
		wrong = append(wrong, "identityId")
	}
	emailID, known := l.call.ResolveID(l.want.EmailID)
	if l.email, err = e.email(emailID); err != nil {
		return err
	}
	if !known || l.email == nil {
		wrong = append(wrong, "emailId")
	}
	if wrong != nil {
		slices.Sort(wrong)
		return jmap.InvalidProperties("there is no such object in the account", wrong...)
	}
	l.want.IdentityID, l.ident = identityID, ident
	l.senders = sendersOf(l.call.Principal)
	if refused, err := l.maySend(); err != nil || refused != nil {
		return cmp.Or(err, error(refused))
	}
	return l.load()
}

// maySend refuses a principal that may send nothing at all.
func (l *letter) maySend() (*jmap.SetError, error) {
	foreign, err := l.edit.service.foreign(l.edit.ctx, l.edit.tx, l.call.Principal)
	if err != nil {
		return nil, err
	}
	_, home, homed := l.edit.service.homeOf(l.call.Principal.Address)
	var why string
	switch {
	case l.call.Principal.Address == "":
		why = "your mailbox has no address"
	case foreign:
		why = "your address belongs to another mailbox: ask your administrator"
	case homed && home.Suspended:
		why = "your organisation is suspended"
	default:
		return nil, nil //nolint:nilnil // there is nothing to refuse
	}
	return &jmap.SetError{Type: setErrorForbiddenToSend, Description: why}, nil
}

// load reads the message and brings it into the form in which it is sent.
func (l *letter) load() error {
	if l.email.Size > l.edit.service.opts.MaxSizeSend {
		return l.tooLarge()
	}
	object, err := l.edit.service.blobs.Open(l.edit.ctx, l.edit.tenant, l.email.Blob)
	if err != nil {
		return err
	}
	data, err := readSections(object, nil)
	if err = cmp.Or(err, object.Close()); err != nil {
		return err
	}
	l.data = message.Wire(data)
	l.fields = message.ParseFields(message.HeaderOf(l.data))
	return nil
}

func (l *letter) tooLarge() *jmap.SetError {
	most := l.edit.service.opts.MaxSizeSend
	return &jmap.SetError{
		Type: jmap.SetErrorTooLarge, Description: fmt.Sprintf("at most %d octets can be sent", most), Fields: map[string]any{"maxSize": most},
	}
}

// submit checks the letter and puts it into the outbox, or returns a SetError.
func (l *letter) submit() (id string, sub *submission, err error) {
	for _, check := range []func() *jmap.SetError{
		l.checkMessage, l.checkFrom, l.checkSender, l.makeEnvelope, l.checkMailFrom, l.checkRecipients, l.checkPolicies,
	} {
		if refused := check(); refused != nil {
			return "", nil, refused
		}
	}
	e := l.edit
	if id, err = e.newID("s"); err != nil {
		return "", nil, err
	}
	start := l.now
	if l.travel.hold.After(start) {
		start = l.travel.hold
	}
	sub = &submission{
		Identity: l.want.IdentityID, Email: l.email.ID, Thread: l.email.Thread, Envelope: l.envelope,
		SendAt: start.UnixMilli(), Undo: undoPending, EnvelopeID: cmp.Or(l.travel.envelopeID, strings.ToLower(rand.Text())),
	}
	data := l.finish(sub)
	if int64(len(data)) > e.service.opts.MaxSizeSend {
		return "", nil, l.tooLarge()
	}
	for _, to := range l.to {
		sub.Status = append(sub.Status, recipientStatus{Address: to.Address, Reply: replyQueued, Delivered: deliveredQueued})
	}
	info, err := e.service.blobs.Put(e.ctx, e.tenant, bytes.NewReader(data))
	if err != nil {
		return "", nil, err
	}
	e.indexSubmission(id, sub)
	if err := submissions.write(e, id, sub, store.Created); err != nil {
		return "", nil, err
	}
	return id, sub, e.enqueue(&outgoing{
		ID: id, Submission: true, Blob: info.Hash, From: l.envelope.MailFrom.Email, To: l.to, Start: start.UnixMilli(),
		EnvelopeID: sub.EnvelopeID, Return: l.travel.returns, RequireTLS: l.travel.requireTLS, SMTPUTF8: l.international(),
	})
}

// finish returns the message as it is sent: without Bcc, with what it must have and has not (RFC 6409 section 8).
func (l *letter) finish(sub *submission) []byte {
	data := message.Without(l.data, "Bcc", "Resent-Bcc", "Return-Path")
	var added []string
	if l.addSender {
		own := message.Address{Name: &l.call.Principal.Name, Email: l.call.Principal.Address}
		added = append(added, "Sender:"+message.FormatAddresses([]message.Address{own}))
	}
	if _, ok := l.fields.Last("Date"); !ok {
		added = append(added, "Date: "+l.now.Format(dateLayout))
	}
	value, _ := l.fields.Last("Message-ID")
	if ids := message.ParseMessageIDs(value); len(ids) > 0 {
		sub.MessageID = ids[0]
	} else {
		data = message.Without(data, "Message-ID")
		sub.MessageID = newMessageID(l.call.Principal.Address)
		added = append(added, "Message-ID: <"+sub.MessageID+">")
	}
	if added == nil {
		return data
	}
	return append([]byte(strings.Join(added, "\r\n")+"\r\n"), data...)
}

// newMessageID makes a message id in the domain of an address.
func newMessageID(address string) string {
	domain := "localhost"
	if p, ok := parsePath(address); ok && !strings.HasPrefix(p.domain, "[") {
		domain = p.domain
	}
	return strings.ToLower(rand.Text()) + "@" + domain
}

// international says whether the letter needs SMTPUTF8 (RFC 6531 section 3.4).
func (l *letter) international() bool {
	return l.travel.smtputf8 || !message.ASCII(message.HeaderOf(l.data)) || !message.ASCII([]byte(l.envelope.MailFrom.Email)) ||
		slices.ContainsFunc(l.to, func(to *addressee) bool { return !message.ASCII([]byte(to.Address)) })
}
