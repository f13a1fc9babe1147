package smime

import (
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// SetErrorForbidden is the type of the SetError for a message that may not be sent as it is (RFC 8621 section 7.5).
const SetErrorForbidden = "forbiddenToSend"

// Policy is what a tenant demands of messages that leave.
type Policy struct {
	// RequireSigned demands a signature.
	RequireSigned bool
	// RequireEncrypted demands encryption.
	RequireEncrypted bool
}

// CheckOutgoing says why a message may not be sent under a policy, or returns nil. A signature must be right for its
// content and use accepted algorithms; whom it leads to is for the recipient to judge. What is encrypted passes for
// signed, for the signature is within and hidden (RFC 8551 section 3.7).
func CheckOutgoing(policy Policy, data []byte) *jmap.SetError {
	if policy == (Policy{}) {
		return nil
	}
	root := message.Parse(data)
	if policy.RequireEncrypted && !encrypted(data, root) {
		return forbidden("the organisation sends encrypted mail only: encrypt the message by S/MIME")
	}
	if !policy.RequireSigned || encryptedAt(data, root) {
		return nil
	}
	s := Open(data, root)
	if s.Status() != StatusSigned {
		return forbidden("the organisation sends signed mail only: sign the message by S/MIME")
	}
	if why := s.broken(); why != "" {
		return forbidden("the S/MIME signature of the message is not right, " + why + ": sign the message again")
	}
	return nil
}

// Encrypted tells whether a message is encrypted as a whole, or signed around something that is.
func Encrypted(data []byte) bool { return encrypted(data, message.Parse(data)) }

func encrypted(data []byte, root *message.Part) bool {
	return encryptedAt(data, root) || encryptedWithin(data, root)
}

func forbidden(why string) *jmap.SetError {
	return &jmap.SetError{Type: SetErrorForbidden, Description: why}
}

// broken says what is wrong with the signatures themselves.
func (s *Signature) broken() string {
	if len(s.problems) > 0 {
		return s.problems[0]
	}
	for i := range s.signers {
		if err := s.signers[i].problem; err != nil {
			return err.Error()
		}
	}
	return ""
}

// encryptedAt says whether a part is encrypted as a whole.
func encryptedAt(data []byte, p *message.Part) bool {
	if shapeOf(data, p) != shapeOpaque {
		return false
	}
	kind, content, err := contentInfo(cmsOf(data, p))
	return err == nil && content.tag == tagSequence && (kind.Equal(oidEnvelopedData) || kind.Equal(oidAuthEnvelopedData))
}

// encryptedWithin says whether a message is signed around something that is encrypted as a whole.
func encryptedWithin(data []byte, root *message.Part) bool {
	switch shapeOf(data, root) {
	case shapeDetached:
		return len(root.Parts) == 2 && encryptedAt(data, root.Parts[0])
	case shapeOpaque:
		kind, content, err := contentInfo(cmsOf(data, root))
		if err != nil || !kind.Equal(oidSignedData) {
			return false
		}
		signed, err := parseSignedData(content)
		return err == nil && encryptedAt(signed.content, message.Parse(signed.content))
	default:
		return false
	}
}
