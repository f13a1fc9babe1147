package mail

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// maxDelayedSend is the longest that a message is held back (RFC 8621 section 1.3.2).
const maxDelayedSend = 366 * 24 * time.Hour

// envelopeAddress is an Address of an Envelope (RFC 8621 section 7).
type envelopeAddress struct {
	Email      string             `json:"email"`
	Parameters map[string]*string `json:"parameters"`
}

// envelope is an Envelope (RFC 8621 section 7).
type envelope struct {
	MailFrom *envelopeAddress  `json:"mailFrom"`
	RcptTo   []envelopeAddress `json:"rcptTo"`
}

// travel is what the parameters of MAIL FROM ask for.
type travel struct {
	// hold is until when the message is held back; zero is not at all.
	hold time.Time
	// envelopeID is ENVID and returns is RET (RFC 3461).
	envelopeID, returns string
	// size is what the client takes for the size of the message.
	size                 int64
	requireTLS, smtputf8 bool
}

// invalidEnvelope is the SetError for an envelope that cannot be understood.
func invalidEnvelope(format string, args ...any) *jmap.SetError {
	return jmap.InvalidProperties("envelope: "+fmt.Sprintf(format, args...), "envelope")
}

// upper returns parameters by their names in upper case: SMTP does not tell case apart.
func upper(parameters map[string]*string) (map[string]*string, *jmap.SetError) {
	out := map[string]*string{}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		key := strings.ToUpper(name)
		if _, twice := out[key]; twice {
			return nil, invalidEnvelope("the parameter %s is given twice", key)
		}
		out[key] = parameters[name]
	}
	return out, nil
}

// mailParameters are the parameters of MAIL FROM by name. Each reads a value into what it asks for, and is false for
// one that it cannot read.
var mailParameters = map[string]func(t *travel, value *string, now time.Time) bool{
	"HOLDFOR": func(t *travel, value *string, now time.Time) bool {
		seconds, ok := number(value)
		t.hold = now.Add(time.Duration(min(seconds, int64(maxDelayedSend/time.Second)+1)) * time.Second)
		return ok
	},
	"HOLDUNTIL": func(t *travel, value *string, _ time.Time) bool {
		if value == nil {
			return false
		}
		at, err := time.Parse(time.RFC3339, *value)
		t.hold = at
		return err == nil
	},
	"RET": func(t *travel, value *string, _ time.Time) bool {
		if value == nil {
			return false
		}
		t.returns = strings.ToUpper(*value)
		return t.returns == "FULL" || t.returns == "HDRS"
	},
	"ENVID": func(t *travel, value *string, _ time.Time) bool {
		if value == nil || *value == "" || len(*value) > 100 || !printable(*value) {
			return false
		}
		t.envelopeID = *value
		return true
	},
	"SIZE": func(t *travel, value *string, _ time.Time) (ok bool) {
		t.size, ok = number(value)
		return ok
	},
	"BODY": func(_ *travel, value *string, _ time.Time) bool {
		return value != nil && (strings.EqualFold(*value, "7BIT") || strings.EqualFold(*value, "8BITMIME"))
	},
	"SMTPUTF8": func(t *travel, value *string, _ time.Time) bool {
		t.smtputf8 = true
		return value == nil
	},
	"REQUIRETLS": func(t *travel, value *string, _ time.Time) bool {
		t.requireTLS = true
		return value == nil
	},
}

// readTravel reads the parameters of MAIL FROM.
func readTravel(parameters map[string]*string, now time.Time) (travel, *jmap.SetError) {
	var t travel
	named, refused := upper(parameters)
	if refused != nil {
		return t, refused
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		read, ok := mailParameters[name]
		if !ok {
			return t, invalidEnvelope("mailFrom has the parameter %s, which is not of submissionExtensions", name)
		}
		if !read(&t, named[name], now) {
			return t, invalidEnvelope("the value of the parameter %s of mailFrom cannot be read", name)
		}
	}
	_, holdFor := named["HOLDFOR"]
	_, holdUntil := named["HOLDUNTIL"]
	switch {
	case holdFor && holdUntil:
		return t, invalidEnvelope("mailFrom has both HOLDFOR and HOLDUNTIL: give one of them")
	case t.hold.Sub(now) > maxDelayedSend:
		return t, invalidEnvelope("the message would be held longer than maxDelayedSend, %d seconds", int64(maxDelayedSend/time.Second))
	}
	return t, nil
}

// number reads a number of up to fifteen digits.
func number(value *string) (int64, bool) {
	if value == nil || len(*value) > 15 {
		return 0, false
	}
	n, err := strconv.ParseInt(*value, 10, 64)
	return n, err == nil && n >= 0 && (*value)[0] != '+'
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// readRecipient reads the parameters of RCPT TO (RFC 3461 section 4).
func readRecipient(a envelopeAddress) (*addressee, *jmap.SetError) {
	out := &addressee{Address: a.Email}
	named, refused := upper(a.Parameters)
	if refused != nil {
		return nil, refused
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		value := named[name]
		ok := value != nil
		switch name {
		case "NOTIFY":
			ok = ok && out.readNotify(*value)
		case "ORCPT":
			ok = ok && out.readOriginal(*value)
		default:
			return nil, invalidEnvelope("rcptTo has the parameter %s, which is not of submissionExtensions", name)
		}
		if !ok {
			return nil, invalidEnvelope("the value of the parameter %s of rcptTo cannot be read", name)
		}
	}
	return out, nil
}

func (a *addressee) readNotify(value string) bool {
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		if !slices.Contains([]string{notifyNever, notifySuccess, notifyFailure, notifyDelay}, word) || slices.Contains(a.Notify, word) {
			return false
		}
		a.Notify = append(a.Notify, word)
	}
	return len(a.Notify) == 1 || !slices.Contains(a.Notify, notifyNever)
}

func (a *addressee) readOriginal(value string) bool {
	kind, address, ok := strings.Cut(value, ";")
	a.Original = value
	return ok && kind != "" && address != "" && len(value) <= 500 && printable(kind) && !strings.ContainsAny(value, "\r\n\x00")
}

// submissionExtensions are the SMTP extensions that clients may use (RFC 8621 section 1.3.2).
func (s *Service) submissionExtensions() map[string][]string {
	seconds := int64(maxDelayedSend / time.Second)
	return map[string][]string{
		// The latest date moves on with the clock; what counts is the number of seconds.
		"FUTURERELEASE": {strconv.FormatInt(seconds, 10), "9999-12-31T23:59:59Z"},
		"SIZE":          {strconv.FormatInt(s.opts.MaxSizeSend, 10)},
		"DSN":           {},
		"8BITMIME":      {},
		"SMTPUTF8":      {},
		"REQUIRETLS":    {},
	}
}
