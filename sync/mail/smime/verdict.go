package smime

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Verdict is what a signature is worth at one time.
type Verdict struct {
	// Status is StatusUnknown, StatusVerified or StatusFailed.
	Status Status
	// Errors say why a signature failed, for the person who reads the message.
	Errors []string
	// Until is when the verdict may become another one although the trust stays; zero when never.
	Until time.Time
	// Certificates are those by which the senders can be written to confidentially, when the signature is good.
	Certificates []Certificate
}

// Judge says what the signature is worth at a time. It is good when each address of the From field is that of a
// signer whose signature is right and whose certificate leads to a root.
func (s *Signature) Judge(t *Trust, at time.Time) Verdict {
	if s.unknown {
		return Verdict{Status: StatusUnknown}
	}
	v := Verdict{Status: StatusFailed, Errors: slices.Clone(s.problems), Until: s.until(t, at)}
	var proven []string
	for i := range s.signers {
		addresses, err := s.signers[i].judge(t, s.certificates, at)
		if err != nil {
			v.Errors = append(v.Errors, err.Error())
		}
		proven = append(proven, addresses...)
	}
	for _, address := range s.from {
		if len(proven) > 0 && !slices.ContainsFunc(proven, func(p string) bool { return sameAddress(p, address) }) {
			v.Errors = append(v.Errors, "the From address is not among the addresses of the signer's certificate")
			break
		}
	}
	if len(s.problems) == 0 && len(proven) > 0 && s.covered(proven) {
		v.Status, v.Errors = StatusVerified, nil
		v.Certificates = s.encryption(t, at)
	} else if len(v.Errors) == 0 {
		v.Errors = []string{"the signer's certificate names no address"}
	}
	v.Errors = slices.Compact(v.Errors)
	return v
}

// covered says whether each address of the From field is proven.
func (s *Signature) covered(proven []string) bool {
	for _, address := range s.from {
		if !slices.ContainsFunc(proven, func(p string) bool { return sameAddress(p, address) }) {
			return false
		}
	}
	return true
}

// judge returns the addresses that a good signature proves.
func (s *signer) judge(t *Trust, lent []*x509.Certificate, at time.Time) ([]string, error) {
	if s.problem != nil {
		return nil, s.problem
	}
	c := s.certificate
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return nil, errors.New("the signer's certificate is not for signatures (keyUsage)")
	}
	if when := s.info.signedAt; !when.IsZero() && (when.Before(c.NotBefore) || when.After(c.NotAfter)) {
		return nil, fmt.Errorf("the message says that it was signed at %s, when the signer's certificate was not valid", when.UTC().Format(time.RFC3339))
	}
	chain, err := t.chain(c, lent, at)
	if err != nil {
		return nil, err
	}
	return allowed(chain), nil
}

// allowed are the addresses of a certificate that its chain may vouch for.
func allowed(chain []*x509.Certificate) []string {
	return slices.DeleteFunc(addressesOf(chain[0]), func(address string) bool { return constrained(chain, address) })
}

// until is the next time at which a certificate becomes valid, or ceases to be.
func (s *Signature) until(t *Trust, at time.Time) time.Time {
	var out time.Time
	for _, c := range slices.Concat(s.certificates, t.all) {
		for _, bound := range []time.Time{c.NotBefore, c.NotAfter.Add(time.Second)} {
			if bound.After(at) && (out.IsZero() || bound.Before(out)) {
				out = bound
			}
		}
	}
	return out
}
