package smime

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/mail/smime/smimetest"
)

func pkixSAN(value []byte) pkix.Extension {
	return pkix.Extension{Id: oidSubjectAltName, Value: value}
}

func TestOutgoingMailIsHeldAgainstThePolicy(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	signer := root.Issue(t, ann)
	plain := smimetest.Header(ann) + smimetest.Text
	signed := smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{})
	entity := smimetest.PKCS7MIME(smimetest.Enveloped(t), "enveloped-data")
	opaque := func(content string) string {
		return smimetest.Opaque(ann, smimetest.Sign(t, signer, []byte(content), smimetest.Options{Enclosed: true}), "signed-data")
	}
	weak := smimetest.Multipart(t, root.Issue(t, ann, smimetest.WithKey(smimetest.RSA(t, 2048))), ann, smimetest.Text, smimetest.Options{Digest: crypto.SHA1})
	sign, encrypt, both := Policy{RequireSigned: true}, Policy{RequireEncrypted: true}, Policy{RequireSigned: true, RequireEncrypted: true}
	for name, c := range map[string]struct {
		policy Policy
		text   string
		why    string
	}{
		"plain without a policy":           {Policy{}, plain, ""},
		"plain to be signed":               {sign, plain, "signed mail only"},
		"plain to be encrypted":            {encrypt, plain, "encrypted mail only"},
		"signed to be signed":              {sign, signed, ""},
		"opaque to be signed":              {sign, opaque(smimetest.Text), ""},
		"signed to be encrypted":           {encrypt, signed, "encrypted mail only"},
		"changed to be signed":             {sign, strings.Replace(signed, "noon", "nine", 1), "changed after it was signed"},
		"weakly signed to be signed":       {sign, weak, "SHA-1"},
		"encrypted to be both":             {both, smimetest.Header(ann) + entity, ""},
		"signed around encrypted":          {both, smimetest.Multipart(t, signer, ann, entity, smimetest.Options{}), ""},
		"opaque around encrypted":          {both, opaque(entity), ""},
		"said to be encrypted, and is not": {encrypt, strings.ReplaceAll(opaque(smimetest.Text), "signed-data", "enveloped-data"), "encrypted mail only"},
		"no CMS":                           {encrypt, smimetest.Opaque(ann, []byte("no"), "enveloped-data"), "encrypted mail only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := CheckOutgoing(c.policy, []byte(c.text))
			if c.why == "" && refused != nil {
				t.Fatalf("refused: %s", refused.Description)
			}
			if c.why != "" && (refused == nil || refused.Type != "forbiddenToSend" || !strings.Contains(refused.Description, c.why)) {
				t.Errorf("got %+v, want %q", refused, c.why)
			}
		})
	}
}

func TestCertificatesToEncryptForComeWithGoodSignatures(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	issuer := root.Intermediate(t)
	signer := issuer.Issue(t, ann)
	usage := func(u x509.KeyUsage) func(*smimetest.Request) { return func(r *smimetest.Request) { r.KeyUsage = u } }
	wrap := issuer.Issue(t, "Ann@agency.us", usage(x509.KeyUsageKeyAgreement))
	extra := []*x509.Certificate{
		wrap.Certificate,
		issuer.Issue(t, "eve@agency.us", usage(x509.KeyUsageKeyAgreement)).Certificate,
		smimetest.NewRoot(t).Issue(t, ann, usage(x509.KeyUsageKeyAgreement)).Certificate,
	}
	trust := trustIn(t, root)
	v := judge(t, trust, smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{Extra: extra}))
	if v.Status != StatusVerified || len(v.Certificates) != 1 || v.Certificates[0].Address != ann || string(v.Certificates[0].Leaf()) != string(wrap.Certificate.Raw) {
		t.Fatalf("%q with %d certificates", v.Status, len(v.Certificates))
	}
	kept := v.Certificates[0]
	again, err := trust.Certify(ann, kept.Chain, noon)
	if err != nil || again.Fingerprint != kept.Fingerprint {
		t.Errorf("the kept certificate: %v", err)
	}
	for name, try := range map[string]func() error{
		"another address": func() error { _, err := trust.Certify("eve@agency.us", kept.Chain, noon); return err },
		"expired":         func() error { _, err := trust.Certify(ann, kept.Chain, smimetest.NotAfter.Add(time.Hour)); return err },
		"not trusted":     func() error { _, err := trustIn(t).Certify(ann, kept.Chain, noon); return err },
		"broken":          func() error { _, err := trust.Certify(ann, kept.Chain[1:], noon); return err },
		"for signatures":  func() error { _, err := trust.Certify(ann, signer.Certificate.Raw, noon); return err },
	} {
		if try() == nil {
			t.Errorf("%s: it is good", name)
		}
	}
}

func TestTrustNamesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	if _, err := NewTrust("", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"); err == nil || !strings.Contains(err.Error(), "intermediates: PEM block 1") {
		t.Errorf("got %v", err)
	}
	if _, err := NewTrust("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ""); err == nil || !strings.Contains(err.Error(), "roots: PEM block 1") {
		t.Errorf("got %v", err)
	}
	other := smimetest.NewRoot(t)
	if trustIn(t, root, other).Fingerprint() != trustIn(t, other, root).Fingerprint() || trustIn(t, root).Fingerprint() == trustIn(t, other).Fingerprint() {
		t.Error("the fingerprint does not tell what is trusted")
	}
	lent, err := NewTrust(root.PEM(), root.Intermediate(t).PEM())
	if err != nil || lent.Fingerprint() == trustIn(t, root).Fingerprint() {
		t.Errorf("intermediates do not count: %v", err)
	}
}

func TestIntermediatesOfTheTenantCompleteChains(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	issuer := root.Intermediate(t)
	signer := issuer.Issue(t, ann)
	signer.Issuers = nil
	text := smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{})
	failed(t, trustIn(t, root), text, "no authority")
	trust, err := NewTrust(root.PEM(), issuer.PEM())
	if err != nil {
		t.Fatal(err)
	}
	verified(t, trust, text)
}
