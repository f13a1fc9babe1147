package smarthost

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/delivery/address"
)

// dispatch is a message on its way, with what became of it for each recipient so far: a result without an outcome is
// still open.
type dispatch struct {
	host     string
	envelope *delivery.Envelope
	from     string
	to       []string
	results  []delivery.Result
}

// newDispatch reads the addresses of an envelope. They are written anew, so that whatever somebody put into one stays
// within the path of its command.
func newDispatch(host string, e *delivery.Envelope) *dispatch {
	d := &dispatch{host: host, envelope: e, to: make([]string, len(e.To)), results: make([]delivery.Result, len(e.To))}
	for i := range e.To {
		d.results[i].Address = e.To[i].Address
		path, reply := pathOf(e.To[i].Address, e.SMTPUTF8, "550 5.1.3 the address is malformed")
		if d.to[i] = path; reply != "" {
			d.results[i].Outcome, d.results[i].Reply = delivery.Failed, reply
		}
	}
	if e.From != "" {
		path, reply := pathOf(e.From, e.SMTPUTF8, "550 5.1.7 the address of the sender is malformed")
		if d.from = path; reply != "" {
			d.here(delivery.Failed, reply)
		}
	}
	return d
}

func pathOf(s string, utf8 bool, malformed string) (path, reply string) {
	a, err := address.Parse(s)
	switch {
	case err != nil:
		return "", malformed
	case !utf8 && !a.ASCII():
		return "", "550 5.6.7 the address needs SMTPUTF8, which the message does not ask for"
	}
	return a.String(), ""
}

func (d *dispatch) pending() bool {
	for _, r := range d.results {
		if r.Outcome == 0 {
			return true
		}
	}
	return false
}

// rest settles the open recipients by a reply of the host.
func (d *dispatch) rest(outcome delivery.Outcome, reply string) {
	d.settle(outcome, reply, d.host)
}

// here settles the open recipients by what this side found.
func (d *dispatch) here(outcome delivery.Outcome, reply string) {
	d.settle(outcome, reply, "")
}

func (d *dispatch) settle(outcome delivery.Outcome, reply, server string) {
	for i := range d.results {
		if r := &d.results[i]; r.Outcome == 0 {
			r.Outcome, r.Reply, r.Server = outcome, reply, server
		}
	}
}

// fail settles the open recipients by an error: the reply that it carries, or broken where the host said nothing. It
// tells whether the connection is fit for another message.
func (d *dispatch) fail(err error, broken string) bool {
	var said *smtp.SMTPError
	if !errors.As(err, &said) || said.Code/100 != 4 && said.Code/100 != 5 {
		d.here(delivery.Deferred, broken)
		return false
	}
	d.rest(outcomeOf(said), oneLine(said.Code, said.EnhancedCode, said.Message))
	return isFit(said)
}

// note settles one recipient by an error, unless the error concerns all that are open.
func (d *dispatch) note(i int, err error) bool {
	var said *smtp.SMTPError
	if !errors.As(err, &said) || !isFit(said) {
		return false
	}
	r := &d.results[i]
	r.Outcome, r.Reply, r.Server = outcomeOf(said), oneLine(said.Code, said.EnhancedCode, said.Message), d.host
	return true
}

// isFit tells whether a host goes on after a reply: 421 says that it closes the connection, and what is no refusal
// where one is expected says that both sides lost track.
func isFit(said *smtp.SMTPError) bool {
	return said.Code != 421 && (said.Code/100 == 4 || said.Code/100 == 5)
}

// outcomeOf is what a reply means: only 5xx is for ever.
func outcomeOf(said *smtp.SMTPError) delivery.Outcome {
	if said.Code/100 == 5 {
		return delivery.Failed
	}
	return delivery.Deferred
}

// oneLine writes a reply on one line of printable ASCII, with the enhanced status code that its class implies if the
// host gave none.
func oneLine(code int, enhanced smtp.EnhancedCode, text string) string {
	status := fmt.Sprintf("%d.%d.%d", enhanced[0], enhanced[1], enhanced[2])
	switch {
	case enhanced[0] == code/100 && enhanced[1] >= 0 && enhanced[2] >= 0:
	case strings.HasPrefix(text, fmt.Sprintf("%d.", code/100)):
		// The text begins with it: the library takes it out of errors only.
		var rest string
		if status, rest, _ = strings.Cut(text, " "); !isStatus(status) {
			status = fmt.Sprintf("%d.0.0", code/100)
		} else {
			text = strings.ReplaceAll(rest, "\n"+status+" ", "\n")
		}
	default:
		status = fmt.Sprintf("%d.0.0", code/100)
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
	text = strings.TrimSpace(text[:min(len(text), 400)])
	if text == "" {
		text = "no text"
	}
	return fmt.Sprintf("%03d %s %s", code, status, text)
}

func isStatus(s string) bool {
	parts := strings.Split(s, ".")
	for _, part := range parts {
		if part == "" || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return len(parts) == 3
}

func mailOptions(e *delivery.Envelope, m *content) *smtp.MailOptions {
	o := &smtp.MailOptions{Size: int64(len(m.octets)), RequireTLS: e.RequireTLS, UTF8: e.SMTPUTF8}
	switch r := smtp.DSNReturn(strings.ToUpper(e.Return)); r {
	case smtp.DSNReturnFull, smtp.DSNReturnHeaders:
		o.Return = r
	}
	if isPrintable(e.ID) && len(e.ID) <= 100 {
		o.EnvelopeID = e.ID
	}
	return o
}

// recipientOptions are the parameters of a notice (RFC 3461). One that is malformed is left out: a notice is not
// worth failing a message.
func recipientOptions(to *delivery.Recipient) *smtp.RcptOptions {
	o := &smtp.RcptOptions{}
	seen := map[string]bool{}
	for _, notify := range to.Notify {
		switch n := strings.ToUpper(notify); n {
		case "SUCCESS", "FAILURE", "DELAY":
			if !seen[n] {
				o.Notify = append(o.Notify, smtp.DSNNotify(n))
			}
			seen[n] = true
		case "NEVER":
			o.Notify = []smtp.DSNNotify{smtp.DSNNotifyNever}
			return withOriginal(o, to.Original)
		}
	}
	return withOriginal(o, to.Original)
}

func withOriginal(o *smtp.RcptOptions, original string) *smtp.RcptOptions {
	kind, value, ok := strings.Cut(original, ";")
	switch kind = strings.ToUpper(kind); {
	case !ok || value == "" || len(value) > 300:
	case kind == string(smtp.DSNAddressTypeRFC822) && isPrintable(value):
		o.OriginalRecipientType, o.OriginalRecipient = smtp.DSNAddressTypeRFC822, value
	case kind == string(smtp.DSNAddressTypeUTF8) && isText(value):
		o.OriginalRecipientType, o.OriginalRecipient = smtp.DSNAddressTypeUTF8, value
	}
	return o
}
