package mail

import (
	"crypto/rand"
	"regexp"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/delivery/notice"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// notify puts a notice into the inbox of the sender, about each recipient that it wants one about and had none yet.
// Nobody is told about mail with an empty return path (RFC 3464 section 2).
func (e *edit) notify(o *outgoing, data []byte, now time.Time) error {
	if o.From == "" {
		return nil
	}
	var about []notice.Recipient
	whole := false
	for _, a := range o.To {
		if !o.due(a, now) {
			continue
		}
		about = append(about, o.report(a, now))
		whole = whole || (a.Outcome == delivery.Failed && o.Return == "FULL")
	}
	if about == nil {
		return nil
	}
	report := &notice.Report{
		From: "MAILER-DAEMON@" + e.service.opts.Hostname, To: o.From, Date: now, Host: e.service.opts.Hostname,
		MessageID: newMessageID("x@" + e.service.opts.Hostname), Boundary: "=_" + rand.Text(),
		EnvelopeID: o.EnvelopeID, Arrival: time.UnixMilli(o.Start).UTC(), Recipients: about,
		Original: message.HeaderOf(data),
	}
	if whole && len(data) < maxSizeMessage/2 {
		report.Original, report.Whole = data, true
	}
	return e.addNotice(o, notice.Build(report), now)
}

// due says whether the sender is to be told about a recipient now, and marks that it is.
func (o *outgoing) due(a *addressee, now time.Time) bool {
	switch {
	case a.pending():
		late := a.Outcome == delivery.Deferred && now.Sub(time.UnixMilli(o.Start)) >= delayAfter
		if !late || a.Delayed || !a.wants(notifyDelay) {
			return false
		}
		a.Delayed = true
		return true
	case a.Told:
		return false
	}
	a.Told = true
	switch a.Outcome {
	case delivery.Failed:
		return a.wants(notifyFailure)
	case delivery.Delivered:
		return a.wants(notifySuccess)
	default:
		// The server that took the message over has the wish with it.
		return false
	}
}

// report is what a notice tells of a recipient.
func (o *outgoing) report(a *addressee, now time.Time) notice.Recipient {
	r := notice.Recipient{
		Original: a.Original, Final: a.Address, Reply: a.Reply, Server: a.Server, Status: statusOf(a.Reply), LastAttempt: now.UTC(),
	}
	switch a.Outcome {
	case delivery.Failed:
		r.Action = notice.Failed
		if strings.HasPrefix(r.Status, "4.") {
			// It was given up after it had been deferred all the time (RFC 3463 section 3.5).
			r.Status = "4.4.7"
		}
	case delivery.Delivered:
		r.Action = notice.Delivered
	default:
		r.Action, r.RetryUntil = notice.Delayed, o.expires().UTC()
	}
	return r
}

// enhanced finds the enhanced status code of an SMTP reply (RFC 3463 section 2).
var enhanced = regexp.MustCompile(`^[245][0-9]{2} ([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)`)

// statusOf returns the enhanced status code of a reply, or the most general one of its class.
func statusOf(reply string) string {
	if m := enhanced.FindStringSubmatch(reply); m != nil {
		return m[1]
	}
	if reply != "" && strings.ContainsRune("245", rune(reply[0])) {
		return reply[:1] + ".0.0"
	}
	return "5.0.0"
}

// addNotice puts a notice into the inbox and lists it with the submission that it is about.
func (e *edit) addNotice(o *outgoing, data []byte, now time.Time) error {
	inbox, err := e.inbox()
	if err != nil {
		return err
	}
	data = append([]byte("Return-Path: <>\r\n"), data...)
	m, err := e.addMessage(&incoming{data: data, mailboxes: []string{inbox}, received: now.UnixMilli(), dated: true})
	if err != nil || !o.Submission {
		return err
	}
	return e.updateSubmission(o.ID, func(sub *submission) error { return e.keepReport(&sub.DSN, m.Blob) })
}

// keepReport lists a notice, which stays readable as long as the submission does.
func (e *edit) keepReport(list *[]string, hash string) error {
	if len(*list) >= maxReports {
		return nil
	}
	*list = append(*list, hash)
	return e.refer(hash, 1)
}
