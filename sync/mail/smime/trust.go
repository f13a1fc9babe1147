package smime

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxTrusted bounds how many certificates a tenant trusts or lends.
const maxTrusted = 512

// Trust is whose signatures a tenant believes. It is safe for concurrent use.
type Trust struct {
	roots         *x509.CertPool
	intermediates []*x509.Certificate
	// all are the roots and the intermediates.
	all         []*x509.Certificate
	fingerprint string
}

// NewTrust makes a trust of PEM certificates: the roots end chains, the intermediates complete those that messages
// leave incomplete. There may be none of either.
func NewTrust(roots, intermediates string) (*Trust, error) {
	anchors, err := readPEM(roots)
	if err != nil {
		return nil, fmt.Errorf("roots: %w", err)
	}
	t := &Trust{roots: x509.NewCertPool()}
	if t.intermediates, err = readPEM(intermediates); err != nil {
		return nil, fmt.Errorf("intermediates: %w", err)
	}
	for _, c := range anchors {
		t.roots.AddCert(c)
	}
	t.all = slices.Concat(anchors, t.intermediates)
	h := sha256.New()
	for _, list := range [][]*x509.Certificate{anchors, t.intermediates} {
		slices.SortFunc(list, func(a, b *x509.Certificate) int { return slices.Compare(a.Raw, b.Raw) })
		for _, c := range list {
			h.Write(c.Raw)
		}
		h.Write([]byte{0})
	}
	t.fingerprint = hex.EncodeToString(h.Sum(nil)[:8])
	return t, nil
}

// Fingerprint changes when what is trusted does.
func (t *Trust) Fingerprint() string { return t.fingerprint }

func readPEM(text string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out, nil
		}
		if block.Type != "CERTIFICATE" || len(out) == maxTrusted {
			return nil, fmt.Errorf("PEM block %d is no certificate, or there are more than %d", len(out)+1, maxTrusted)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
}

// chain leads a certificate to a root as of a time. The error says what stands in the way, for the person who reads
// the mail.
func (t *Trust) chain(c *x509.Certificate, lent []*x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	leaf := withoutNames(c)
	pool := x509.NewCertPool()
	for _, certificate := range slices.Concat(t.intermediates, lent) {
		pool.AddCert(certificate)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: pool, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	})
	if err != nil {
		return nil, explain(err, leaf)
	}
	for _, chain := range chains {
		if err = checkChain(chain); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// withoutNames lets crypto/x509 pass a certificate whose alternative names are critical and all of a type that is
// read here.
func withoutNames(c *x509.Certificate) *x509.Certificate {
	if len(c.UnhandledCriticalExtensions) == 0 || len(utf8Mailboxes(c)) == 0 {
		return c
	}
	out := *c
	out.UnhandledCriticalExtensions = nil
	for _, id := range c.UnhandledCriticalExtensions {
		if !id.Equal(oidSubjectAltName) {
			out.UnhandledCriticalExtensions = append(out.UnhandledCriticalExtensions, id)
		}
	}
	return &out
}

// checkChain refuses weak keys and signatures. How a root is signed does not matter: it is trusted as it is.
func checkChain(chain []*x509.Certificate) error {
	for i, c := range chain {
		if err := checkKey(c.PublicKey); err != nil {
			return err
		}
		if i == len(chain)-1 {
			break
		}
		if err := checkSignedWith(c); err != nil {
			return err
		}
	}
	return nil
}

// explain says why there is no chain.
func explain(err error, leaf *x509.Certificate) error {
	if weak := checkSignedWith(leaf); weak != nil {
		return weak
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			return fmt.Errorf("a certificate of the signer's chain is not valid at this time, but from %s to %s",
				invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
		case x509.IncompatibleUsage:
			return errors.New("the signer's certificate, or one of its issuers, is not for the protection of mail (emailProtection)")
		case x509.CANotAuthorizedForThisName, x509.CANotAuthorizedForExtKeyUsage:
			return errors.New("the issuer of the signer's certificate may not vouch for it")
		default:
			return errors.New("the chain of the signer's certificate is not valid")
		}
	}
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return errors.New("the signer's certificate has a critical extension that is not understood")
	}
	return errors.New("the signer's certificate leads to no authority that the organisation trusts")
}
