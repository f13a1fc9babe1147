// Package address reads and writes the mailbox addresses of envelopes (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
// What it writes cannot carry a second command or parameter, whoever chose the address.
package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of RFC 5321 section 4.5.3.1.
const (
	maxLocal  = 64
	maxDomain = 255
)

// Address is a mailbox.
type Address struct {
	// Local is the local part, without quotes.
	Local string
	// Domain is a domain in lower case, or an address literal with its brackets.
	Domain string
}

// Parse reads an address as commands carry it: a dot-string or a quoted string, "@", and a domain.
func Parse(s string) (Address, error) {
	if !strings.HasPrefix(s, `"`) {
		return Unquoted(s)
	}
	local := &strings.Builder{}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			rest, ok := strings.CutPrefix(s[i+1:], "@")
			if !ok {
				return Address{}, errors.New(`address: "@" is missing after the quoted local part`)
			}
			return newAddress(local.String(), rest)
		case '\\':
			if i++; i == len(s) {
				return Address{}, errors.New("address: the quoted local part does not end")
			}
			local.WriteByte(s[i])
		default:
			local.WriteByte(c)
		}
	}
	return Address{}, errors.New("address: the quoted local part does not end")
}

// Unquoted reads an address whose local part was freed of its quotes already: what stands after the last "@" is the
// domain.
func Unquoted(s string) (Address, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return Address{}, errors.New(`address: "@" is missing`)
	}
	return newAddress(s[:i], s[i+1:])
}

func newAddress(local, domain string) (Address, error) {
	switch {
	case local == "" || len(local) > maxLocal:
		return Address{}, fmt.Errorf("address: the local part has %d octets, not 1 to %d", len(local), maxLocal)
	case !utf8.ValidString(local) || strings.ContainsFunc(local, unicode.IsControl):
		return Address{}, errors.New("address: the local part holds control characters or broken UTF-8")
	case domain == "" || len(domain) > maxDomain:
		return Address{}, fmt.Errorf("address: the domain has %d octets, not 1 to %d", len(domain), maxDomain)
	case !isDomain(domain):
		return Address{}, errors.New("address: the domain is neither a name nor an address literal")
	}
	return Address{Local: local, Domain: lower(domain)}, nil
}

// String writes the address as commands carry it.
func (a Address) String() string {
	if isDotString(a.Local) {
		return a.Local + "@" + a.Domain
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Local)
	return `"` + quoted + `"@` + a.Domain
}

// ASCII tells whether the address can travel without SMTPUTF8.
func (a Address) ASCII() bool {
	return !strings.ContainsFunc(a.Local+a.Domain, func(r rune) bool { return r >= utf8.RuneSelf })
}

func isDomain(s string) bool {
	if literal, ok := strings.CutPrefix(s, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		return ok && literal != "" && !strings.ContainsFunc(literal, func(r rune) bool {
			return !isLetterOrDigit(r) && !strings.ContainsRune(".:-", r)
		})
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || !utf8.ValidString(label) {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !isDomainRune(r) }) {
			return false
		}
	}
	return true
}

func isDomainRune(r rune) bool {
	if r < utf8.RuneSelf {
		return isLetterOrDigit(r) || r == '-' || r == '_'
	}
	return !unicode.IsControl(r) && !unicode.IsSpace(r)
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtomRune(r) }) {
			return false
		}
	}
	return true
}

func isAtomRune(r rune) bool {
	if r < utf8.RuneSelf {
		return isLetterOrDigit(r) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return !unicode.IsSpace(r)
}

// lower folds the ASCII letters of a domain, which are the same in either case.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
