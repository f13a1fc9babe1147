package push

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// outcome is what became of a message.
type outcome string

const (
	// accepted says that the push service took the message.
	accepted outcome = "accepted"
	// gone says that the push service has the subscription no longer.
	gone outcome = "gone"
	// later says that it may work another time.
	later outcome = "later"
	// refused says that it will not work as it is.
	refused outcome = "refused"
)

const (
	// maxRefusals is after how many refused messages in a row a subscription is
	// destroyed.
	maxRefusals = 5
	// maxIntroductions is how often a verification is tried that reaches nobody.
	maxIntroductions = 4

	firstBackOff = 10 * time.Second
	maxBackOff   = time.Hour
	// maxRetryAfter bounds what is honoured of Retry-After.
	maxRetryAfter = 24 * time.Hour
	firstGap      = 30 * time.Second
	maxGap        = time.Hour
)

// reply is what came back for a message.
type reply struct {
	outcome outcome
	// status is 0 when no answer came.
	status int
	// retryAfter is the least wait that the push service asks for.
	retryAfter time.Duration
}

// judge tells what an answer, or that there was none, means (RFC 8030 §5, §7.3).
func judge(status int, answer http.Header, err error, now time.Time) reply {
	if err != nil {
		if errors.Is(err, egress.ErrUnreachable) || errors.Is(err, egress.ErrUntrusted) {
			return reply{outcome: later}
		}
		return reply{outcome: refused}
	}
	r := reply{status: status}
	switch {
	case status >= 200 && status < 300:
		r.outcome = accepted
	case status == http.StatusNotFound || status == http.StatusGone:
		r.outcome = gone
	case status == http.StatusRequestEntityTooLarge || status == http.StatusTooManyRequests || status >= 500:
		r.outcome = later
		r.retryAfter = retryAfter(answer.Get("Retry-After"), now)
	default:
		r.outcome = refused
	}
	return r
}

// retryAfter reads the header of that name (RFC 9110 §10.2.3): seconds or a date.
// Anything else counts as absent.
func retryAfter(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// after brings progress up to date after a message. A reason tells that the subscription
// is to be destroyed.
func (p *progress) after(m *message, r reply, current states, now time.Time) (reason string) {
	p.Sender, p.Until = "", time.Time{}
	if m.kind == jmap.MessagePushVerification {
		return p.afterVerification(r, now)
	}
	switch r.outcome {
	case accepted:
		p.told(m.changed, current)
		p.Failures, p.Refusals, p.NotBefore = 0, 0, time.Time{}
		p.ease(now)
	case gone:
		return reasonGone
	case later:
		p.fail(r, now)
		if r.status == http.StatusTooManyRequests {
			p.Gap = min(max(2*p.Gap, firstGap), maxGap)
		}
	case refused:
		p.Refusals++
		if p.Refusals >= maxRefusals {
			return reasonRefused
		}
		p.fail(r, now)
	}
	return ""
}

// afterVerification is strict: nothing may be sent to a URL again that has answered once
// and was not verified (RFC 8620 §7.2). A subscription whose verification was not
// accepted can never be used, so it goes, and the client finds that it has none.
func (p *progress) afterVerification(r reply, now time.Time) (reason string) {
	switch {
	case r.outcome == accepted:
		p.Introduced, p.Failures = true, 0
	case r.outcome == gone:
		return reasonGone
	case r.status != 0 || r.outcome == refused || p.Failures+1 >= maxIntroductions:
		return reasonUnverifiable
	default:
		p.fail(r, now)
	}
	return ""
}

// fail holds the next message back, longer each time.
func (p *progress) fail(r reply, now time.Time) {
	wait := min(firstBackOff<<min(p.Failures, 16), maxBackOff)
	p.Failures++
	// Subscriptions that failed together come back apart.
	wait += time.Duration(rand.Int64N(int64(wait)/4 + 1)) //nolint:gosec // spreads load, protects nothing
	p.NotBefore = now.Add(max(wait, r.retryAfter))
}

// ease keeps the gap that the push service asked for, and halves it with each message
// that it accepts.
func (p *progress) ease(now time.Time) {
	if p.Gap == 0 {
		return
	}
	p.NotBefore = now.Add(p.Gap)
	if p.Gap /= 2; p.Gap < firstGap {
		p.Gap = 0
	}
}

// told takes down what the client knows now of the accounts of a message. Accounts that
// the holder may not be told of any more are forgotten.
func (p *progress) told(changed, current states) {
	before := p.Told
	p.Told = states{}
	for account, types := range current {
		if _, ok := changed[account]; ok {
			p.Told[account] = types
		} else if before[account] != nil {
			p.Told[account] = before[account]
		}
	}
}
