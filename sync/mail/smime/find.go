package smime

import (
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// maxDetached bounds a signature that stands beside what it signs, in octets.
const maxDetached = 1 << 20

// The media types of S/MIME (RFC 8551 section 3.2), with the names that they had before they were registered.
var (
	typesMIME      = []string{"application/pkcs7-mime", "application/x-pkcs7-mime"}
	typesSignature = []string{"application/pkcs7-signature", "application/x-pkcs7-signature"}
)

// shape is how a message is secured, as its structure shows it.
type shape int

const (
	// shapePlain is a message without S/MIME.
	shapePlain shape = iota
	// shapeForeign is a multipart/signed of another protocol.
	shapeForeign
	// shapeDetached is a multipart/signed (RFC 8551 section 3.5.3).
	shapeDetached
	// shapeOpaque is one part of CMS, of whatever content type.
	shapeOpaque
	// shapePartial is a message of which a part is signed.
	shapePartial
)

// find tells the shape of a message. A signature below the root leaves out the rest of what a reader sees; one in an
// attached message is of that message.
func find(data []byte, root *message.Part) shape {
	if s := shapeOf(data, root); s != shapePlain {
		return s
	}
	found := shapePlain
	root.Walk(func(p *message.Part) {
		attached := p.Disposition != nil && *p.Disposition == "attachment"
		if s := shapeOf(data, p); p != root && (s == shapeDetached || s == shapeOpaque && !attached) {
			found = shapePartial
		}
	})
	return found
}

func shapeOf(data []byte, p *message.Part) shape {
	switch {
	case p.Type == "multipart/signed":
		return signedShape(data, p)
	case slices.Contains(typesMIME, p.Type):
		return shapeOpaque
	case p.Type == "application/octet-stream" && p.Name != nil && strings.HasSuffix(strings.ToLower(*p.Name), ".p7m"):
		return shapeOpaque // RFC 8551 section 3.10
	default:
		return shapePlain
	}
}

// signedShape looks at the protocol of a multipart/signed, or at its second part when it names none.
func signedShape(data []byte, p *message.Part) shape {
	protocol := ""
	value, _ := message.ParseFields(p.Header.Of(data)).Last("Content-Type")
	_, parameters := message.ParseContentType(value)
	for _, parameter := range parameters {
		if parameter.Name == "protocol" {
			protocol = strings.ToLower(parameter.Value)
		}
	}
	if protocol == "" && len(p.Parts) > 1 {
		protocol = p.Parts[1].Type
	}
	if slices.Contains(typesSignature, protocol) {
		return shapeDetached
	}
	return shapeForeign
}

// cmsOf returns the CMS of a part.
func cmsOf(data []byte, p *message.Part) []byte {
	return message.DecodeTransfer(p.Encoding, p.Body.Of(data))
}

// entity returns the octets of a part with its header: what a multipart/signed signs of its first part (RFC 1847
// section 2.1).
func entity(data []byte, p *message.Part) []byte {
	return message.Span{Start: p.Header.Start, End: p.Body.End}.Of(data)
}
