package smime

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// The bounds of what is read of a signature.
const (
	maxCertificates = 64
	maxSigners      = 16
	maxAttributes   = 64
)

// The content types of CMS (RFC 5652, RFC 5083, RFC 3274).
var (
	oidData              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidEnvelopedData     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidAuthEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 23}
)

// contentInfo reads the outermost structure (RFC 5652 section 3).
func contentInfo(data []byte) (kind asn1.ObjectIdentifier, content element, err error) {
	outer, _, err := expect(data, tagSequence)
	if err != nil {
		return nil, element{}, err
	}
	kind, rest, err := readOID(outer.content)
	if err != nil {
		return nil, element{}, err
	}
	wrapped, _, err := expect(rest, tagContext0)
	if err != nil {
		return nil, element{}, err
	}
	content, _, err = next(wrapped.content, 0)
	return kind, content, err
}

func readOID(data []byte) (oid asn1.ObjectIdentifier, rest []byte, err error) {
	e, rest, err := expect(data, tagOID)
	if err != nil {
		return nil, nil, err
	}
	if _, err := asn1.Unmarshal(e.full, &oid); err != nil {
		return nil, nil, fmt.Errorf("an object identifier cannot be read: %w", err)
	}
	return oid, rest, nil
}

// signedData is a CMS signature (RFC 5652 section 5.1).
type signedData struct {
	// contentType is the type of what is signed.
	contentType asn1.ObjectIdentifier
	// content is what is signed, when it lies within.
	content []byte
	// detached says that it does not.
	detached     bool
	certificates []*x509.Certificate
	signers      []signerInfo
}

// parseSignedData reads a signature. Revocation lists in it are passed over: nobody vouches for them.
func parseSignedData(e element) (*signedData, error) {
	if e.tag != tagSequence {
		return nil, errMissing
	}
	fields, err := members(e.content, 6)
	if err != nil {
		return nil, err
	}
	if len(fields) < 4 || fields[0].tag != tagInteger || fields[1].tag != tagSet || fields[2].tag != tagSequence {
		return nil, errMissing
	}
	s := &signedData{}
	if err := s.readContent(fields[2]); err != nil {
		return nil, err
	}
	for _, field := range fields[3:] {
		if err := s.readField(field); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *signedData) readField(field element) error {
	switch field.tag {
	case tagContext0:
		return s.readCertificates(field)
	case tagSet:
		return s.readSigners(field)
	case tagContext1:
		return nil
	default:
		return fmt.Errorf("the signature holds a value of type 0x%02x", field.tag)
	}
}

func (s *signedData) readContent(e element) error {
	kind, rest, err := readOID(e.content)
	if err != nil {
		return err
	}
	s.contentType, s.detached = kind, len(rest) == 0
	if s.detached {
		return nil
	}
	wrapped, _, err := expect(rest, tagContext0)
	if err != nil {
		return err
	}
	value, _, err := next(wrapped.content, 0)
	if err != nil {
		return err
	}
	if value.tag&^byte(constructed) != tagOctetString {
		return errors.New("the signed content is no octet string")
	}
	s.content, err = value.octets(0)
	return err
}

// readCertificates keeps the certificates that can be read; what else may stand among them is passed over.
func (s *signedData) readCertificates(e element) error {
	list, err := members(e.content, maxCertificates)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	for _, item := range list {
		if item.tag != tagSequence || !item.definite {
			continue
		}
		certificate, err := x509.ParseCertificate(item.full)
		if err == nil && !slices.ContainsFunc(s.certificates, certificate.Equal) {
			s.certificates = append(s.certificates, certificate)
		}
	}
	return nil
}

func (s *signedData) readSigners(e element) error {
	list, err := members(e.content, maxSigners)
	if err != nil {
		return fmt.Errorf("signers: %w", err)
	}
	for _, item := range list {
		signer, err := parseSignerInfo(item)
		if err != nil {
			return fmt.Errorf("signer: %w", err)
		}
		s.signers = append(s.signers, signer)
	}
	return nil
}
