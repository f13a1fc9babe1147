package tenantdoc

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxSMIMEBytes bounds the PEM certificates of each list of SMIME.
	MaxSMIMEBytes = 256 << 10
	// MaxSMIMECertificates bounds their number.
	MaxSMIMECertificates = 256
)

// SMIME is how a tenant uses S/MIME (RFC 8551).
type SMIME struct {
	// Roots holds PEM certificates at which the chain of a signer may end. Without
	// any, no signature is good.
	Roots string `json:"roots,omitempty"`
	// Intermediates holds PEM certificates that complete the chains of messages
	// that leave them out. They are not trusted by themselves.
	Intermediates string `json:"intermediates,omitempty"`
	// Outgoing is what mail must carry to be sent.
	Outgoing SMIMEOutgoing `json:"outgoing,omitzero"`
}

// SMIMEOutgoing is what mail must carry to be sent.
type SMIMEOutgoing struct {
	// RequireSigned refuses to send what is not signed.
	RequireSigned bool `json:"requireSigned,omitempty"`
	// RequireEncrypted refuses to send what is not encrypted.
	RequireEncrypted bool `json:"requireEncrypted,omitempty"`
}

func (s *SMIME) validate() error {
	if s == nil {
		return nil
	}
	for _, list := range []struct{ field, bundle string }{{"roots", s.Roots}, {"intermediates", s.Intermediates}} {
		if list.bundle == "" {
			continue
		}
		if err := CheckCertificates(list.bundle); err != nil {
			return fmt.Errorf("smime.%s: %w", list.field, err)
		}
	}
	return nil
}

// CheckCertificates tells what is wrong with PEM certificates of SMIME.
func CheckCertificates(bundle string) error {
	if len(bundle) > MaxSMIMEBytes {
		return fmt.Errorf("%d bytes, more than %d", len(bundle), MaxSMIMEBytes)
	}
	rest, n := []byte(bundle), 0
	for ; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if n == MaxSMIMECertificates {
			return fmt.Errorf("more than %d certificates", MaxSMIMECertificates)
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("PEM block %d is a %q, not a CERTIFICATE", n+1, block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("PEM block %d: %w", n+1, err)
		}
	}
	switch {
	case n == 0:
		return errors.New("no PEM certificate")
	case strings.Contains(string(rest), "-----BEGIN"):
		return fmt.Errorf("PEM block %d cannot be read", n+1)
	}
	return nil
}
