package mail

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// email is what of an Email is not read from its message (RFC 8621 section 4.1.1), small enough that queries can
// look at many.
type email struct {
	ID         string   `json:"-"`
	Blob       string   `json:"b"`
	Thread     string   `json:"t"`
	Mailboxes  []string `json:"m"`
	Keywords   []string `json:"k,omitempty"`
	Size       int64    `json:"z"`
	Received   int64    `json:"r"` // milliseconds since 1970
	Attachment bool     `json:"a,omitempty"`
	// SMIME is empty without a signature, StatusSigned with one that can be verified, and else StatusUnknown.
	SMIME smime.Status `json:"s,omitempty"`
	// Carried are the sensitivity labels that the header carries, of whatever tenant. Label is the one that was set on
	// the email since, which leaves its message as it is: nil when none was, empty when the label was taken off.
	Carried []string `json:"l,omitempty"`
	Label   *string  `json:"o,omitempty"`
	// visited says that this is the email as a visitor sees it.
	visited bool
}

// ref is the blob id of the message. That for a visitor names the email by which the visitor may read it.
func (m *email) ref() blobRef {
	if m.visited {
		return blobRef{hash: m.Blob, email: m.ID}
	}
	return blobRef{hash: m.Blob}
}

func (m *email) has(keyword string) bool { return slices.Contains(m.Keywords, keyword) }

func (m *email) in(mailbox string) bool { return slices.Contains(m.Mailboxes, mailbox) }

func (m *email) unread() bool { return unread(m.Keywords) }

// unread says whether an email with these keywords counts as unread (RFC 8621 section 2).
func unread(keywords []string) bool {
	return !slices.Contains(keywords, "$seen") && !slices.Contains(keywords, "$draft")
}

// utcDate writes milliseconds since 1970 as a UTCDate (RFC 8620 section 1.4).
func utcDate(milli int64) string {
	return time.UnixMilli(milli).UTC().Format("2006-01-02T15:04:05.999Z")
}

// set makes a set of ids or keywords as JMAP writes it.
func set(members []string) map[string]bool {
	out := make(map[string]bool, len(members))
	for _, member := range members {
		out[member] = true
	}
	return out
}

// email returns an email of the account, or nil when it does not exist.
func (e *edit) email(id string) (*email, error) {
	m := &email{ID: id}
	exists, err := readJSON(e.ctx, e.tx, e.keys.email(id), m)
	if !exists {
		return nil, err
	}
	return m, err
}

// createEmail adds an email to the account: its id and thread are chosen here. An account that may hold no more refuses
// it with a SetError that is delivery.ErrFull too.
func (e *edit) createEmail(m *email, content *rendered) (err error) {
	m.Attachment, m.SMIME, m.Carried = content.attachment, content.signature.Status(), content.labels
	if err := e.take(m); err != nil {
		return err
	}
	if m.ID, err = e.newID("m"); err != nil {
		return err
	}
	if m.Thread, err = e.threadFor(content.references); err != nil {
		return err
	}
	if err := e.refer(m.Blob, 1); err != nil {
		return err
	}
	if err := e.setJSON(e.keys.row(m.ID), content.row); err != nil {
		return err
	}
	if len(content.parts) > 0 {
		e.tx.Set(e.keys.parts(m.ID), content.parts)
	}
	for i, chunk := range content.text {
		e.tx.Set(e.keys.text(m.ID).Uint(uint64(i)), []byte(chunk))
	}
	for _, hash := range content.references {
		e.tx.Set(e.keys.reference(hash).String(m.ID), []byte(m.Thread))
	}
	if len(content.references) > 0 {
		if err := e.setJSON(e.keys.references(m.ID), content.references); err != nil {
			return err
		}
	}
	if err := e.createSignature(m, content.signature); err != nil {
		return err
	}
	e.tx.Set(place(e.keys.all(), m.Received, m.ID), []byte(m.Thread))
	e.tx.Changed(store.Change{Type: typeEmail, ID: m.ID, Kind: store.Created})
	e.tx.Changed(store.Change{Type: typeDelivery, ID: deliveryID, Kind: store.Updated})
	return e.inThread(m.Thread, func() error { return e.place(m, nil) })
}

// updateEmail changes the mailboxes and keywords of an email. Both lists are sorted.
func (e *edit) updateEmail(m *email, mailboxes, keywords []string) error {
	if slices.Equal(m.Mailboxes, mailboxes) && slices.Equal(m.Keywords, keywords) {
		return nil
	}
	old := *m
	m.Mailboxes, m.Keywords = mailboxes, keywords
	e.tx.Changed(store.Change{Type: typeEmail, ID: m.ID, Kind: store.Updated})
	return e.inThread(m.Thread, func() error { return e.place(m, &old) })
}

// destroyEmail removes an email from the account.
func (e *edit) destroyEmail(m *email) error {
	if err := e.leave(m); err != nil {
		return err
	}
	var references []string
	if _, err := readJSON(e.ctx, e.tx, e.keys.references(m.ID), &references); err != nil {
		return err
	}
	for _, hash := range references {
		e.tx.Delete(e.keys.reference(hash).String(m.ID))
	}
	for _, key := range [][]byte{
		e.keys.email(m.ID), e.keys.row(m.ID), e.keys.parts(m.ID), e.keys.references(m.ID), e.keys.signature(m.ID),
		place(e.keys.all(), m.Received, m.ID),
	} {
		e.tx.Delete(key)
	}
	if err := deleteAll(e.ctx, e.tx, e.keys.text(m.ID).Range()); err != nil {
		return fmt.Errorf("destroy email: %w", err)
	}
	if err := e.unindex(m.ID); err != nil {
		return err
	}
	e.tx.Changed(store.Change{Type: typeEmail, ID: m.ID, Kind: store.Destroyed})
	if err := e.refer(m.Blob, -1); err != nil {
		return err
	}
	return e.inThread(m.Thread, func() error { return e.place(nil, m) })
}

// place writes an email into the record, the indexes and the counts of its mailboxes, and takes what it was before
// out of them. One of the two may be nil.
func (e *edit) place(m, old *email) error {
	if err := e.logPlace(m, old); err != nil {
		return err
	}
	if old != nil {
		e.tx.Delete(place(e.keys.thread(old.Thread), ^old.Received, old.ID))
		for _, id := range old.Mailboxes {
			if m == nil || !m.in(id) {
				e.tx.Delete(place(e.keys.box(id), old.Received, old.ID))
			}
			if err := e.count(id, -1, old.unread()); err != nil {
				return err
			}
		}
	}
	if m == nil {
		return nil
	}
	e.tx.Set(place(e.keys.thread(m.Thread), ^m.Received, m.ID), memberValue(m))
	for _, id := range m.Mailboxes {
		if old == nil || !old.in(id) {
			e.tx.Set(place(e.keys.box(id), m.Received, m.ID), []byte(m.Thread))
		}
		if err := e.count(id, 1, m.unread()); err != nil {
			return err
		}
	}
	return e.setJSON(e.keys.email(m.ID), m)
}

func (e *edit) count(mailbox string, delta int64, unread bool) error {
	box, err := e.mailbox(mailbox)
	if err != nil || box == nil {
		return err
	}
	box.TotalEmails += delta
	if unread {
		box.UnreadEmails += delta
	}
	return nil
}

// emailsIn returns the ids of the emails in a mailbox.
func (e *edit) emailsIn(mailbox string) ([]string, error) {
	index := e.keys.box(mailbox)
	var ids []string
	for p, err := range e.tx.Scan(e.ctx, index.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("list emails: %w", err)
		}
		_, id, err := cutPlace(p.Key, index)
		if err != nil {
			return nil, fmt.Errorf("list emails: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// checkKeywords returns keywords in lower case and sorted, and what is wrong with them (RFC 8621 section 4.1.1).
func checkKeywords(keywords map[string]bool) (sorted []string, why string) {
	for keyword, value := range keywords {
		switch {
		case !value:
			return nil, fmt.Sprintf("keywords: the value of %q is not true", keyword)
		case !validKeyword(keyword):
			return nil, fmt.Sprintf("keywords: %q is not 1 to 255 printable ASCII characters other than ( ) { ] %% * \" \\", keyword)
		}
		sorted = append(sorted, strings.ToLower(keyword))
	}
	slices.Sort(sorted)
	return slices.Compact(sorted), ""
}

func validKeyword(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return r < '!' || r > '~' || strings.ContainsRune(`(){]%*"\`, r)
	})
}

// rendered is what of a message is kept beside it, so that lists never open it.
type rendered struct {
	// row holds the properties of the list row. One that is very long is left out, and read from the message.
	row map[string]json.RawMessage
	// parts is the MIME structure as JSON; empty when it is very long.
	parts []byte
	// text is what searches look at, folded, in chunks.
	text []string
	// references are the hashes of the message ids that connect the message to a thread.
	references []string
	// attachment is the property hasAttachment.
	attachment bool
	// received is the date of the topmost Received field in milliseconds, or zero.
	received int64
	// signature is the S/MIME signature, or nil.
	signature *smime.Signature
	// labels are the sensitivity labels that the header carries.
	labels []string
}
