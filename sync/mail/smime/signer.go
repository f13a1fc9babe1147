package smime

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// The signed attributes that are read (RFC 5652 section 11).
var (
	oidAttributeContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidAttributeMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidAttributeSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
)

// signerInfo is one signature of a signed content (RFC 5652 section 5.3).
type signerInfo struct {
	// issuer and serial name the certificate, or else keyID does.
	issuer []byte
	serial *big.Int
	keyID  []byte

	digest, algorithm pkix.AlgorithmIdentifier
	value             []byte

	// attributes are the signed attributes as they are signed; nil when there are none.
	attributes  []byte
	contentType asn1.ObjectIdentifier
	sum         []byte
	signedAt    time.Time
}

func parseSignerInfo(e element) (s signerInfo, err error) {
	if e.tag != tagSequence {
		return s, errMissing
	}
	fields, err := members(e.content, 7)
	if err != nil {
		return s, err
	}
	if len(fields) < 5 || fields[0].tag != tagInteger {
		return s, errMissing
	}
	if err := s.readIdentifier(fields[1]); err != nil {
		return s, err
	}
	if err := readAlgorithm(fields[2], &s.digest); err != nil {
		return s, err
	}
	fields = fields[3:]
	if fields[0].tag == tagContext0 {
		if err := s.readAttributes(fields[0]); err != nil {
			return s, err
		}
		fields = fields[1:]
	}
	if len(fields) < 2 || fields[1].tag&^byte(constructed) != tagOctetString {
		return s, errMissing
	}
	if err := readAlgorithm(fields[0], &s.algorithm); err != nil {
		return s, err
	}
	s.value, err = fields[1].octets(0)
	return s, err
}

func readAlgorithm(e element, into *pkix.AlgorithmIdentifier) error {
	if rest, err := asn1.Unmarshal(e.full, into); err != nil || len(rest) > 0 {
		return errors.New("an algorithm cannot be read")
	}
	return nil
}

func (s *signerInfo) readIdentifier(e element) (err error) {
	switch e.tag {
	case tagSequence:
		var name struct {
			Issuer asn1.RawValue
			Serial *big.Int
		}
		if _, err := asn1.Unmarshal(e.full, &name); err != nil {
			return errors.New("the name of the signer's certificate cannot be read")
		}
		s.issuer, s.serial = name.Issuer.FullBytes, name.Serial
	case 0x80, tagContext0:
		if s.keyID, err = e.octets(0); err == nil && len(s.keyID) == 0 {
			err = errMissing
		}
	default:
		err = errors.New("the name of the signer's certificate is of a type that is not understood")
	}
	return err
}

// readAttributes reads the signed attributes. They are signed as a SET in DER, whatever they are tagged with (RFC
// 5652 section 5.4).
func (s *signerInfo) readAttributes(e element) error {
	if !e.definite {
		return errors.New("the signed attributes are not encoded by DER")
	}
	s.attributes = bytes.Clone(e.full)
	s.attributes[0] = tagSet
	list, err := members(e.content, maxAttributes)
	if err != nil {
		return fmt.Errorf("signed attributes: %w", err)
	}
	for _, item := range list {
		var attribute struct {
			Type   asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		}
		if _, err := asn1.Unmarshal(item.full, &attribute); err != nil {
			return errors.New("a signed attribute cannot be read")
		}
		if err := s.readAttribute(attribute.Type, attribute.Values); err != nil {
			return err
		}
	}
	if s.contentType == nil || s.sum == nil {
		return errors.New("the signed attributes lack the content type or the message digest")
	}
	return nil
}

// readAttribute reads one of the attributes that may occur once and with one value.
func (s *signerInfo) readAttribute(kind asn1.ObjectIdentifier, values []asn1.RawValue) error {
	var into any
	var twice bool
	switch {
	case kind.Equal(oidAttributeContentType):
		into, twice = &s.contentType, s.contentType != nil
	case kind.Equal(oidAttributeMessageDigest):
		into, twice = &s.sum, s.sum != nil
	case kind.Equal(oidAttributeSigningTime):
		into, twice = &s.signedAt, !s.signedAt.IsZero()
	default:
		return nil
	}
	if twice || len(values) != 1 {
		return fmt.Errorf("the signed attribute %s has more or less than one value", kind)
	}
	if _, err := asn1.Unmarshal(values[0].FullBytes, into); err != nil {
		return fmt.Errorf("the signed attribute %s cannot be read", kind)
	}
	return nil
}

// certificate finds the certificate of the signer, or nil.
func (s *signerInfo) certificate(among []*x509.Certificate) *x509.Certificate {
	for _, c := range among {
		byName := s.serial != nil && s.serial.Cmp(c.SerialNumber) == 0 && bytes.Equal(s.issuer, c.RawIssuer)
		if byName || s.keyID != nil && bytes.Equal(s.keyID, c.SubjectKeyId) {
			return c
		}
	}
	return nil
}
