package mail

import (
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/delivery/notice"
)

// correlate finds the submission that a notice is about, and has it tell what the notice tells (RFC 8621 section 7).
// A delivery notice knows it by the envelope identifier, which is random unless the client chose it, so that only those
// who carried the message know it; a disposition notice by the message id. A recipient that the submission does not
// have is passed over.
func (e *edit) correlate(hash string, p *parcel) error {
	contentType, _ := p.fields.Last("Content-Type")
	if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "multipart/report") {
		return nil
	}
	found := notice.Parse(p.data)
	if r := found.Report; r != nil && r.EnvelopeID != "" {
		err := e.correlated(e.keys.envelopeID(r.EnvelopeID), func(sub *submission) error {
			for _, rcpt := range r.Recipients {
				sub.report(&rcpt)
			}
			return e.keepReport(&sub.DSN, hash)
		})
		if err != nil {
			return err
		}
	}
	if d := found.Disposition; d != nil && d.MessageID != "" {
		return e.correlated(e.keys.sentMessage(d.MessageID), func(sub *submission) error {
			status := sub.recipient(d.Final)
			if status == nil {
				status = sub.recipient(d.Original)
			}
			if status == nil {
				return nil
			}
			status.Displayed = status.Displayed || d.Type == "displayed"
			return e.keepReport(&sub.MDN, hash)
		})
	}
	return nil
}

// correlated changes the submission that an index names, if there is one.
func (e *edit) correlated(index []byte, change func(*submission) error) error {
	id, err := e.get(index)
	if err != nil || id == nil {
		return err
	}
	return e.updateSubmission(string(id), change)
}

// report takes over what a notice tells of a recipient. Other actions than delivered and failed leave it unchanged.
func (s *submission) report(rcpt *notice.Recipient) {
	status := s.recipient(rcpt.Final)
	if _, original, ok := strings.Cut(rcpt.Original, ";"); status == nil && ok {
		status = s.recipient(original)
	}
	if status == nil || s.Undo == undoCanceled {
		return
	}
	reply := rcpt.Reply
	switch rcpt.Action {
	case notice.Delivered:
		status.Delivered = deliveredYes
		if statusOf(reply)[0] != '2' {
			reply = "250 2.0.0 delivered"
		}
	case notice.Failed:
		status.Delivered = deliveredNo
		if class := statusOf(reply)[0]; reply == "" || class == '2' {
			reply = "550 " + failureStatus(rcpt.Status) + " not delivered"
		}
	default:
		return
	}
	status.Reply = oneReply(reply)
}

// failureStatus returns the enhanced status code of a failure.
func failureStatus(status string) string {
	if m := enhanced.FindStringSubmatch("550 " + status); m != nil && status[0] != '2' {
		return m[1]
	}
	return "5.0.0"
}
