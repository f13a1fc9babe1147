package smime

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// The places where a certificate names addresses (RFC 8550 section 3, RFC 9598 section 3).
var (
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidUTF8Mailbox     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 9}
	oidSubjectMailbox  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	maxAlternativeName = 256
)

// addressesOf returns the addresses that a certificate is for.
func addressesOf(c *x509.Certificate) []string {
	out := slices.Clone(c.EmailAddresses)
	out = append(out, utf8Mailboxes(c)...)
	for _, attribute := range c.Subject.Names {
		if value, ok := attribute.Value.(string); ok && attribute.Type.Equal(oidSubjectMailbox) {
			out = append(out, value)
		}
	}
	return out
}

// utf8Mailboxes reads the names of type SmtpUTF8Mailbox, which crypto/x509 passes over.
func utf8Mailboxes(c *x509.Certificate) []string {
	var out []string
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidSubjectAltName) {
			continue
		}
		names, _, err := expect(extension.Value, tagSequence)
		if err != nil {
			return nil
		}
		list, err := members(names.content, maxAlternativeName)
		if err != nil {
			return nil
		}
		for _, name := range list {
			if mailbox, ok := utf8Mailbox(name); ok {
				out = append(out, mailbox)
			}
		}
	}
	return out
}

// utf8Mailbox reads an otherName of that type.
func utf8Mailbox(name element) (string, bool) {
	if name.tag != tagContext0 {
		return "", false
	}
	kind, rest, err := readOID(name.content)
	if err != nil || !kind.Equal(oidUTF8Mailbox) {
		return "", false
	}
	wrapped, _, err := expect(rest, tagContext0)
	if err != nil {
		return "", false
	}
	var mailbox string
	if _, err := asn1.UnmarshalWithParams(wrapped.content, &mailbox, "utf8"); err != nil {
		return "", false
	}
	return mailbox, true
}

// normalDomain writes a domain in A-labels and lower case.
func normalDomain(domain string) (string, bool) {
	ascii, err := idna.Punycode.ToASCII(strings.ToLower(domain))
	return ascii, err == nil && ascii != ""
}

// constrained says whether the authorities of a chain may not vouch for an address (RFC 5280 section 4.2.1.10).
// crypto/x509 looks only at the names of type rfc822Name, so every address is held against the constraints here.
func constrained(chain []*x509.Certificate, address string) bool {
	for _, c := range chain[min(1, len(chain)):] {
		within := func(constraint string) bool { return withinConstraint(address, constraint) }
		if slices.ContainsFunc(c.ExcludedEmailAddresses, within) {
			return true
		}
		if len(c.PermittedEmailAddresses) > 0 && !slices.ContainsFunc(c.PermittedEmailAddresses, within) {
			return true
		}
	}
	return false
}

// withinConstraint says whether an address is a given one, of a given host, or in the domains below one.
func withinConstraint(address, constraint string) bool {
	if strings.Contains(constraint, "@") {
		return sameAddress(address, constraint)
	}
	host, ok := normalDomain(address[strings.LastIndexByte(address, '@')+1:])
	below, isBelow := strings.CutPrefix(constraint, ".")
	domain, readable := normalDomain(below)
	if !ok || !readable {
		return false
	}
	if isBelow {
		return strings.HasSuffix(host, "."+domain)
	}
	return host == domain
}
