package mail

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// The longest parts of an address (RFC 5321 section 4.5.3.1).
const (
	maxLocalPart = 64
	maxDomain    = 255
)

// path is an address that mail travels to or from: a Mailbox of RFC 5321 section 4.1.2, which may hold more than
// ASCII (RFC 6531 section 3.3).
type path struct {
	// local is the part before the "@", without quotes.
	local string
	// domain is in lower case, in the form of the DNS; or an address literal.
	domain string
}

// parsePath reads an address; false says that it is none.
func parsePath(address string) (path, bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at > maxLocalPart || len(address)-at-1 > maxDomain || !utf8.ValidString(address) {
		return path{}, false
	}
	local, ok := parseLocal(address[:at])
	if !ok {
		return path{}, false
	}
	domain, ok := parseDomain(address[at+1:])
	return path{local: local, domain: domain}, ok
}

// key is the address as it is compared and looked up: without regard to case.
func (p path) key() string { return strings.ToLower(p.local) + "@" + p.domain }

// addressKey is the key of an address; one that is none is its own.
func addressKey(address string) string {
	if p, ok := parsePath(address); ok {
		return p.key()
	}
	return strings.ToLower(address)
}

// parseLocal reads a dot-string or a quoted string.
func parseLocal(local string) (string, bool) {
	if len(local) > 1 && local[0] == '"' && local[len(local)-1] == '"' {
		return parseQuoted(local[1 : len(local)-1])
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtom(r) }) {
			return "", false
		}
	}
	return local, true
}

func parseQuoted(text string) (string, bool) {
	var out strings.Builder
	escaped := false
	for _, r := range text {
		switch {
		case r < ' ' || r == unicode.MaxASCII || unicode.IsControl(r):
			return "", false
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
			continue
		case r == '"':
			return "", false
		}
		out.WriteRune(r)
	}
	return out.String(), !escaped && out.Len() > 0
}

// isAtom says whether a character may stand in an atom (RFC 5322 section 3.2.3, RFC 6532 section 3.2).
func isAtom(r rune) bool {
	switch {
	case r >= utf8.RuneSelf:
		return !unicode.IsControl(r) && !unicode.IsSpace(r)
	case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		return true
	default:
		return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
}

// parseDomain reads a domain or an address literal.
func parseDomain(domain string) (string, bool) {
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		ip, err := netip.ParseAddr(strings.TrimPrefix(literal, "IPv6:"))
		return strings.ToLower(domain), ok && err == nil && ip.Is6() == strings.HasPrefix(literal, "IPv6:") && ip.Zone() == ""
	}
	if strings.ContainsFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", false
		}
		domain = ascii
	}
	for label := range strings.SplitSeq(domain, ".") {
		if !isLabel(label) {
			return "", false
		}
	}
	return strings.ToLower(domain), len(domain) <= maxDomain
}

func isLabel(label string) bool {
	return label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-' && !strings.ContainsFunc(label, notInLabel)
}

func notInLabel(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
}

// senders are the addresses that a principal may send from.
type senders struct {
	own string
	// shared tells of each other address, by its key, whether mail from it must name its sender.
	shared map[string]bool
}

func sendersOf(p *jmap.Principal) senders {
	s := senders{own: addressKey(p.Address), shared: map[string]bool{}}
	for _, right := range p.Sending {
		s.shared[addressKey(right.Address)] = right.OnBehalf
	}
	return s
}

// may tells whether mail may come from an address, and whether it must then name its sender.
func (s senders) may(address string) (ok, onBehalf bool) {
	key := addressKey(address)
	if key == s.own {
		return s.own != "", false
	}
	onBehalf, ok = s.shared[key]
	return ok, onBehalf
}
