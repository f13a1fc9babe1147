// Package smime verifies S/MIME signatures (RFC 8551, RFC 8550), and judges whether a message that is about to be sent
// is secured as a tenant demands.
//
// It reads the Cryptographic Message Syntax (RFC 5652) itself, because what comes in is the work of strangers: reading
// never panics, and is bounded in depth, number and time.
package smime

import (
	"bytes"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// Status is the value of smimeStatus (RFC 9219 section 4.1).
type Status string

// The statuses. An empty one is null: there is no signature.
const (
	// StatusUnknown is of a message that is S/MIME and neither signed nor encrypted, or signed by another protocol.
	StatusUnknown Status = "unknown"
	// StatusSigned is of a signature that nobody verified.
	StatusSigned Status = "signed"
	// StatusVerified is of a good signature of the sender.
	StatusVerified Status = "signed/verified"
	// StatusFailed is of any other signature.
	StatusFailed Status = "signed/failed"
)

// Signature is the signature of a message, checked as far as that depends on the message alone. It is not changed
// after Open, and safe for concurrent use.
type Signature struct {
	// unknown says that nothing can be verified.
	unknown bool
	// from are the addresses of the From field.
	from []string
	// problems are why the signature cannot be good, whoever made it.
	problems     []string
	certificates []*x509.Certificate
	signers      []signer
}

// signer is one signature whose certificate is among those of the message.
type signer struct {
	info        signerInfo
	certificate *x509.Certificate
	problem     error
}

// Open finds the signature of a message, whose structure is root, and checks what it says about the content. It
// returns nil for a message without a signature. One that is encrypted shows none: that is within.
func Open(data []byte, root *message.Part) *Signature {
	shape := find(data, root)
	if shape == shapePlain {
		return nil
	}
	if shape == shapeForeign {
		return &Signature{unknown: true}
	}
	s := &Signature{}
	s.readFrom(message.ParseFields(root.Header.Of(data)))
	if shape == shapePartial {
		s.problems = append(s.problems, "the signature covers only a part of the message: something was added around it")
		return s
	}
	var err error
	present := true
	if shape == shapeDetached {
		err = s.openDetached(data, root)
	} else {
		present, err = s.openOpaque(cmsOf(data, root))
	}
	if !present {
		return nil
	}
	if err != nil {
		s.problems = append(s.problems, "the signature cannot be read: "+err.Error())
	}
	return s
}

// Status is what can be told without verifying anything.
func (s *Signature) Status() Status {
	switch {
	case s == nil:
		return ""
	case s.unknown:
		return StatusUnknown
	default:
		return StatusSigned
	}
}

// readFrom notes the addresses that the message claims to be from.
func (s *Signature) readFrom(fields message.Fields) {
	values := fields.All("From")
	if len(values) == 1 {
		for _, address := range message.ParseAddresses(values[0]) {
			s.from = append(s.from, address.Email)
		}
	}
	if len(s.from) == 0 {
		s.problems = append(s.problems, "the message does not have exactly one From field with an address")
	}
}

func (s *Signature) openDetached(data []byte, root *message.Part) error {
	if len(root.Parts) != 2 {
		return fmt.Errorf("the multipart/signed has %d parts instead of 2", len(root.Parts))
	}
	if root.Parts[1].Body.Len() > 2*maxDetached {
		return errors.New("it is too large")
	}
	cms := cmsOf(data, root.Parts[1])
	if len(cms) > maxDetached {
		return errors.New("it is too large")
	}
	kind, content, err := contentInfo(cms)
	if err != nil {
		return err
	}
	if !kind.Equal(oidSignedData) {
		return errors.New("it is no signed-data")
	}
	signed, err := parseSignedData(content)
	if err != nil {
		return err
	}
	if !signed.detached {
		return errors.New("it holds a content of its own beside the one that it stands next to")
	}
	if len(signed.signers) == 0 {
		return errors.New("it has no signer")
	}
	signed.content = entity(data, root.Parts[0])
	s.check(signed, true)
	return nil
}

// openOpaque opens a part of CMS. It is false when that is no signature.
func (s *Signature) openOpaque(cms []byte) (present bool, err error) {
	kind, content, err := contentInfo(cms)
	switch {
	case err != nil:
		s.unknown = true
		return true, nil //nolint:nilerr // what claims to be CMS and is not is unknown
	case kind.Equal(oidEnvelopedData) || kind.Equal(oidAuthEnvelopedData):
		return false, nil
	case !kind.Equal(oidSignedData):
		s.unknown = true
		return true, nil
	}
	signed, err := parseSignedData(content)
	if err != nil {
		return true, err
	}
	if len(signed.signers) == 0 && signed.detached {
		s.unknown = true // certs-only (RFC 8551 section 3.7)
		return true, nil
	}
	if signed.detached || len(signed.signers) == 0 {
		return true, errors.New("it has no content, or no signer")
	}
	s.check(signed, false)
	return true, nil
}

// check verifies each signature against the content.
func (s *Signature) check(signed *signedData, detached bool) {
	s.certificates = signed.certificates
	for i := range signed.signers {
		info := signed.signers[i]
		checked := signer{info: info, certificate: info.certificate(signed.certificates)}
		if checked.certificate == nil {
			checked.problem = errors.New("the certificate of the signer is not in the message")
		} else {
			checked.problem = checked.verify(signed, detached)
		}
		s.signers = append(s.signers, checked)
	}
}

var errChanged = errors.New("the content was changed after it was signed")

// verify checks the digest of the content and the signature. Of content that stands beside the signature the line
// ends are those of its canonical form (RFC 8551 section 3.1.1), whatever they became on the way.
func (s *signer) verify(signed *signedData, detached bool) error {
	digest, err := digestOf(s.info.digest)
	if err != nil {
		return err
	}
	contents := [][]byte{signed.content}
	if detached {
		if canonical := canonicalLines(signed.content); canonical != nil {
			contents = append(contents, canonical)
		}
	}
	if s.info.attributes == nil {
		return s.verifyBare(signed, contents)
	}
	if !s.info.contentType.Equal(signed.contentType) {
		return errors.New("the signature is for another type of content")
	}
	for _, content := range contents {
		if sumIs(digest.New(), content, s.info.sum) {
			return s.info.verifySignature(s.certificate.PublicKey, s.info.attributes)
		}
	}
	return errChanged
}

// verifyBare checks a signature without signed attributes. Content that could be such attributes is refused: the
// signature may have been made for them (RFC 5652 section 5.3).
func (s *signer) verifyBare(signed *signedData, contents [][]byte) error {
	if !signed.contentType.Equal(oidData) {
		return errors.New("the signature lacks signed attributes")
	}
	if bytes.HasPrefix(signed.content, []byte{tagSet}) {
		if _, rest, err := next(signed.content, 0); err == nil && len(rest) == 0 {
			return errors.New("the signature may be for something else than its content")
		}
	}
	var err error
	for _, content := range contents {
		if err = s.info.verifySignature(s.certificate.PublicKey, content); err == nil {
			return nil
		}
	}
	if errors.Is(err, errSignature) {
		return errChanged
	}
	return err
}

func sumIs(h hash.Hash, content, want []byte) bool {
	h.Write(content)
	return subtle.ConstantTimeCompare(h.Sum(nil), want) == 1
}

// canonicalLines ends every line with CRLF. It returns nil when that is so already.
func canonicalLines(content []byte) []byte {
	bare := bytes.Count(content, []byte("\n")) - bytes.Count(content, []byte("\r\n"))
	if bare == 0 {
		return nil
	}
	out := make([]byte, 0, len(content)+bare)
	for i, c := range content {
		if c == '\n' && (i == 0 || content[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// sameAddress compares addresses without regard to case: no mailbox here tells case apart.
func sameAddress(a, b string) bool {
	a, okA := normalAddress(a)
	b, okB := normalAddress(b)
	return okA && okB && a == b
}

// normalAddress brings an address into the form in which it is compared.
func normalAddress(address string) (string, bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "", false
	}
	domain, ok := normalDomain(address[at+1:])
	return strings.ToLower(address[:at]) + "@" + domain, ok
}
