package authority

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Action is what to do about a serving certificate.
type Action string

// The actions.
const (
	// Keep leaves the Secret as it is.
	Keep Action = "Keep"
	// Issue makes the first certificate.
	Issue Action = "Issue"
	// Reissue replaces the certificate.
	Reissue Action = "Reissue"
	// Wait leaves the Secret as it is because the authority cannot issue; what is
	// there goes on serving.
	Wait Action = "Wait"
)

// Facts are what a decision rests on.
type Facts struct {
	// Now is the time of the observation.
	Now time.Time
	// Cloud is the name of the region's SovereignCloud.
	Cloud string
	// Authority of the cloud; nil while there is none, or none that is usable.
	Authority *Authority
	// Wanted is what the certificate must be.
	Wanted Request
	// Serving is what the Secret holds; nil while there is no Secret.
	Serving *Serving
}

// Decision is what to do, why, and when to look again.
type Decision struct {
	// Action to take.
	Action Action
	// Reason in a few words, for the message of a condition or an event. Empty for
	// Keep.
	Reason string
	// RenewAt is when a certificate that is kept is due; zero when a replacement
	// would not last longer, because the root ends.
	RenewAt time.Time
	// NotAfter is when the certificate that is kept, or left, expires; zero without
	// one.
	NotAfter time.Time
	// Serves tells whether what is in the Secret can serve now.
	Serves bool
}

// Decide says what to do about a serving certificate. It is pure: the same facts
// give the same decision.
func Decide(f Facts) Decision {
	if reason := authorityProblem(f); reason != "" {
		return f.decision(Wait, reason)
	}
	if f.Serving == nil {
		return f.decision(Issue, "there is no certificate yet")
	}
	for _, problem := range problems {
		if reason := problem(f); reason != "" {
			return f.decision(Reissue, reason)
		}
	}
	d := f.decision(Keep, "")
	if f.Serving.NotAfter.Before(f.Authority.NotAfter()) {
		d.RenewAt = f.Serving.renewAt()
	}
	return d
}

func (f Facts) decision(action Action, reason string) Decision {
	d := Decision{Action: action, Reason: reason}
	if s := f.Serving; s != nil && s.Problem == "" {
		d.NotAfter = s.NotAfter
		d.Serves = !f.Now.Before(s.NotBefore) && f.Now.Before(s.NotAfter)
	}
	return d
}

func authorityProblem(f Facts) string {
	switch {
	case f.Authority == nil:
		return fmt.Sprintf("the authority of cloud %q is not usable", f.Cloud)
	case f.Authority.Cloud() != f.Cloud:
		return fmt.Sprintf("the authority is of cloud %q, the region of %q", f.Authority.Cloud(), f.Cloud)
	case f.Authority.Expired(f.Now):
		return fmt.Sprintf("the authority of cloud %q expired", f.Cloud)
	}
	return ""
}

// problems are the reasons to replace a certificate, the gravest first.
var problems = []func(Facts) string{
	malformed,      // the pair can be loaded
	foreignRoot,    // it chains to the root of the cloud
	otherBundle,    // the published root is the one that signed
	otherHosts,     // it names what clients use
	otherAlgorithm, // the key is what the cloud asks for
	longerLifetime, // it ends when the region wants it to
	notYetValid,    // the clock that signed was not ahead
	due,            // it is younger than two thirds of its lifetime
}

func malformed(f Facts) string {
	return f.Serving.Problem
}

func foreignRoot(f Facts) string {
	if f.Serving.signer != f.Authority.Fingerprint() {
		return fmt.Sprintf("the certificate is not of the authority of cloud %q", f.Cloud)
	}
	return ""
}

func otherBundle(f Facts) string {
	if f.Serving.bundle != f.Authority.Fingerprint() {
		return "the published root is not the one that signed"
	}
	return ""
}

func otherHosts(f Facts) string {
	want := sortedHosts(f.Wanted.Hosts)
	if slices.Equal(f.Serving.Hosts, want) {
		return ""
	}
	return fmt.Sprintf("the certificate names %s, not %s", strings.Join(f.Serving.Hosts, ", "), strings.Join(want, ", "))
}

func otherAlgorithm(f Facts) string {
	if f.Serving.Algorithm == f.Wanted.Algorithm {
		return ""
	}
	return fmt.Sprintf("the key is %s, not %s", f.Serving.Algorithm, f.Wanted.Algorithm)
}

// longerLifetime tolerates what Issue backdates. A lifetime that became longer in
// the spec comes with the next rotation.
func longerLifetime(f Facts) string {
	if f.Serving.NotAfter.Sub(f.Serving.NotBefore) > f.Wanted.Lifetime+maxBackdate {
		return fmt.Sprintf("the certificate lives longer than %s", f.Wanted.Lifetime)
	}
	return ""
}

func notYetValid(f Facts) string {
	if f.Now.Before(f.Serving.NotBefore) {
		return "the certificate is not valid yet"
	}
	return ""
}

// due leaves a certificate alone that ends with the root: another would not last
// longer.
func due(f Facts) string {
	s := f.Serving
	if !f.Now.Before(s.NotAfter) {
		return "the certificate expired"
	}
	if f.Now.Before(s.renewAt()) || !s.NotAfter.Before(f.Authority.NotAfter()) {
		return ""
	}
	return "two thirds of the certificate's lifetime are over"
}

// Serving is what a serving Secret holds, without regard to the time.
type Serving struct {
	// Problem says why the pair cannot be loaded; empty when it can. The other
	// fields are set only then.
	Problem string
	// Hosts are the SANs, sorted, in one spelling.
	Hosts []string
	// Algorithm of the key; empty when it is none that we issue.
	Algorithm v1alpha1.KeyAlgorithm
	// NotBefore and NotAfter bound the validity.
	NotBefore, NotAfter time.Time

	signer string // fingerprint of the root that signed; empty when it is not the cloud's
	bundle string // fingerprint of the published root
}

func (s *Serving) renewAt() time.Time {
	const part, whole = 2, 3
	return s.NotBefore.Add(s.NotAfter.Sub(s.NotBefore) * part / whole)
}
