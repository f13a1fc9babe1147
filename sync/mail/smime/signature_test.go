package smime

import (
	"crypto"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime/smimetest"
)

const ann = "ann@agency.us"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func trustIn(t testing.TB, roots ...*smimetest.Identity) *Trust {
	t.Helper()
	var text strings.Builder
	for _, root := range roots {
		text.WriteString(root.PEM())
	}
	trust, err := NewTrust(text.String(), "")
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// judge says what the signature of a message is worth at noon.
func judge(t testing.TB, trust *Trust, text string) Verdict {
	t.Helper()
	s := Open([]byte(text), message.Parse([]byte(text)))
	if s == nil {
		return Verdict{}
	}
	return s.Judge(trust, noon)
}

func verified(t testing.TB, trust *Trust, text string) {
	t.Helper()
	if v := judge(t, trust, text); v.Status != StatusVerified || v.Errors != nil {
		t.Errorf("%q, %q; want it verified", v.Status, v.Errors)
	}
}

// failed checks that the signature of a message fails for one reason, which holds a text.
func failed(t testing.TB, trust *Trust, text, why string) {
	t.Helper()
	if v := judge(t, trust, text); v.Status != StatusFailed || len(v.Errors) != 1 || !strings.Contains(v.Errors[0], why) {
		t.Errorf("%q, %q; want it failed because %q", v.Status, v.Errors, why)
	}
}

func TestSignaturesOfEachAcceptedKindAreVerified(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	deep := root.Intermediate(t).Intermediate(t)
	withKey := func(key crypto.Signer) *smimetest.Identity { return root.Issue(t, ann, smimetest.WithKey(key)) }
	plain := root.Issue(t, ann)
	for name, c := range map[string]struct {
		signer  *smimetest.Identity
		options smimetest.Options
	}{
		"RSA with PKCS #1":              {withKey(smimetest.RSA(t, 2048)), smimetest.Options{}},
		"RSA with PKCS #1 and SHA-512":  {withKey(smimetest.RSA(t, 2048)), smimetest.Options{Digest: crypto.SHA512}},
		"RSASSA-PSS":                    {withKey(smimetest.RSA(t, 2048)), smimetest.Options{PSS: true}},
		"RSASSA-PSS with SHA-384":       {withKey(smimetest.RSA(t, 2048)), smimetest.Options{PSS: true, Digest: crypto.SHA384}},
		"P-256":                         {plain, smimetest.Options{}},
		"P-384":                         {withKey(smimetest.NewECDSA(t, elliptic.P384())), smimetest.Options{Digest: crypto.SHA384}},
		"P-521":                         {withKey(smimetest.NewECDSA(t, elliptic.P521())), smimetest.Options{Digest: crypto.SHA512}},
		"a chain of three":              {deep.Issue(t, ann), smimetest.Options{}},
		"no signed attributes":          {plain, smimetest.Options{Bare: true}},
		"a signing time":                {plain, smimetest.Options{Time: noon}},
		"a certificate named by key":    {plain, smimetest.Options{KeyID: true}},
		"indefinite lengths":            {plain, smimetest.Options{Indefinite: true}},
		"two signers, one of them From": {plain, smimetest.Options{Signers: []*smimetest.Identity{root.Issue(t, "eve@agency.us")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trust := trustIn(t, root)
			verified(t, trust, smimetest.Multipart(t, c.signer, ann, smimetest.Text, c.options))
			c.options.Enclosed = true
			verified(t, trust, smimetest.Opaque(ann, smimetest.Sign(t, c.signer, []byte(smimetest.Text), c.options), "signed-data"))
		})
	}
}

func TestEd25519IsAcceptedOutsideOfFIPS(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	text := smimetest.Multipart(t, root.Issue(t, ann, smimetest.WithKey(smimetest.NewEd25519(t))), ann, smimetest.Text, smimetest.Options{Digest: crypto.SHA512})
	if fips140.Enabled() {
		failed(t, trustIn(t, root), text, "FIPS 140-3")
		return
	}
	verified(t, trustIn(t, root), text)
}

func TestWeakAlgorithmsAreRefusedByName(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t, smimetest.WithKey(smimetest.RSA(t, 2048)))
	rsaSigner := root.Issue(t, ann, smimetest.WithKey(smimetest.RSA(t, 2048)))
	small := smimetest.NewRoot(t, smimetest.WithKey(smimetest.RSA(t, 1024)))
	sha1 := func(r *smimetest.Request) { r.SignatureAlgorithm = x509.SHA1WithRSA }
	for name, c := range map[string]struct {
		signer  *smimetest.Identity
		options smimetest.Options
		why     string
	}{
		"SHA-1":                        {rsaSigner, smimetest.Options{Digest: crypto.SHA1}, "SHA-1, which is refused"},
		"SHA-1 in RSASSA-PSS":          {rsaSigner, smimetest.Options{Digest: crypto.SHA1, PSS: true}, "SHA-1, which is refused"},
		"RSA of 1024 bits":             {root.Issue(t, ann, smimetest.WithKey(smimetest.RSA(t, 1024))), smimetest.Options{}, "1024 bits, which is refused"},
		"a certificate by SHA-1":       {root.Issue(t, ann, sha1), smimetest.Options{}, "a certificate is signed with SHA-1"},
		"an issuer with RSA of 1024":   {small.Issue(t, ann), smimetest.Options{}, "1024 bits, which is refused"},
		"ECDSA on P-224":               {root.Issue(t, ann, smimetest.WithKey(smimetest.NewECDSA(t, elliptic.P224()))), smimetest.Options{}, "curve that is not accepted"},
		"an intermediate with RSA1024": {root.Intermediate(t, smimetest.WithKey(smimetest.RSA(t, 1024))).Issue(t, ann), smimetest.Options{}, "1024 bits, which is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed(t, trustIn(t, root, small), smimetest.Multipart(t, c.signer, ann, smimetest.Text, c.options), c.why)
		})
	}
}

func TestCertificatesThatDoNotProveTheSenderFail(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	stranger := smimetest.NewRoot(t)
	set := func(fn func(r *smimetest.Request)) func(*smimetest.Request) { return fn }
	leaf := root.Issue(t, ann)
	for name, c := range map[string]struct {
		signer *smimetest.Identity
		why    string
	}{
		"expired":                    {root.Issue(t, ann, set(func(r *smimetest.Request) { r.NotAfter = noon.Add(-time.Hour) })), "not valid at this time"},
		"not yet valid":              {root.Issue(t, ann, set(func(r *smimetest.Request) { r.NotBefore = noon.Add(time.Hour) })), "not valid at this time"},
		"an expired issuer":          {root.Intermediate(t, set(func(r *smimetest.Request) { r.NotAfter = noon.Add(-time.Hour) })).Issue(t, ann), "not valid at this time"},
		"another address":            {root.Issue(t, "eve@agency.us"), "From address"},
		"no address":                 {root.Issue(t, ann, set(func(r *smimetest.Request) { r.EmailAddresses = nil })), "names no address"},
		"for servers":                {root.Issue(t, ann, set(func(r *smimetest.Request) { r.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), "emailProtection"},
		"an issuer for servers":      {root.Intermediate(t, set(func(r *smimetest.Request) { r.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })).Issue(t, ann), "emailProtection"},
		"for encryption only":        {root.Issue(t, ann, set(func(r *smimetest.Request) { r.KeyUsage = x509.KeyUsageKeyAgreement })), "keyUsage"},
		"an unknown root":            {stranger.Issue(t, ann), "no authority that the organisation trusts"},
		"issued by a person":         {leaf.Issue(t, ann), "no authority that the organisation trusts"},
		"outside of its constraints": {root.Intermediate(t, set(func(r *smimetest.Request) { r.PermittedEmailAddresses = []string{"other.us"} })).Issue(t, ann), "may not vouch for it"},
		"an unknown critical extension": {root.Issue(t, ann, set(func(r *smimetest.Request) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		})), "critical extension"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed(t, trustIn(t, root), smimetest.Multipart(t, c.signer, ann, smimetest.Text, smimetest.Options{}), c.why)
		})
	}
}

// utf8Name makes a certificate whose address is a name of type SmtpUTF8Mailbox.
func utf8Name(t *testing.T, address string) func(*smimetest.Request) {
	t.Helper()
	kind, err := asn1.Marshal(oidUTF8Mailbox)
	if err != nil {
		t.Fatal(err)
	}
	name := smimetest.TLV(0xa0, kind, smimetest.TLV(0xa0, smimetest.TLV(0x0c, []byte(address))))
	return func(r *smimetest.Request) {
		r.EmailAddresses = nil
		r.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Critical: true, Value: smimetest.TLV(0x30, name)}}
	}
}

func subjectName(address string) func(*smimetest.Request) {
	return func(r *smimetest.Request) {
		r.EmailAddresses = nil
		r.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidSubjectMailbox, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(address)}}}
	}
}

func TestAddressesAreFoundWhereCertificatesNameThem(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	narrow := root.Intermediate(t, func(r *smimetest.Request) { r.PermittedEmailAddresses = []string{".agency.us", "xn--bcher-kva.de"} })
	barred := root.Intermediate(t, func(r *smimetest.Request) { r.ExcludedEmailAddresses = []string{"agency.us"} })
	for name, c := range map[string]struct {
		signer *smimetest.Identity
		from   string
		good   bool
	}{
		"in another case":                       {root.Issue(t, "Ann@Agency.US"), "ann@AGENCY.us", true},
		"in the subject":                        {root.Issue(t, ann, subjectName(ann)), ann, true},
		"as SmtpUTF8Mailbox":                    {root.Issue(t, ann, utf8Name(t, "jürgen@xn--bcher-kva.de")), "jürgen@bücher.de", true},
		"the one of two":                        {root.Issue(t, ann, func(r *smimetest.Request) { r.EmailAddresses = []string{"a@b.us", ann} }), ann, true},
		"with a display name":                   {root.Issue(t, ann), `"eve@evil.example" <` + ann + `>`, true},
		"within constraints":                    {narrow.Issue(t, "ann@mail.agency.us"), "ann@mail.agency.us", true},
		"as SmtpUTF8Mailbox within constraints": {narrow.Issue(t, ann, utf8Name(t, "jürgen@xn--bcher-kva.de")), "jürgen@bücher.de", true},
		"in the subject, against constraints":   {narrow.Issue(t, ann, subjectName("ann@other.us")), "ann@other.us", false},
		"as SmtpUTF8Mailbox, excluded":          {barred.Issue(t, ann, utf8Name(t, "jürgen@agency.us")), "jürgen@agency.us", false},
		"of one of two senders":                 {root.Issue(t, ann), ann + ", bob@agency.us", false},
		"in the display name only":              {root.Issue(t, ann), `"` + ann + `" <eve@evil.example>`, false},
		"in a second From field":                {root.Issue(t, ann), ann + "\r\nFrom: eve@evil.example", false},
		"no From address":                       {root.Issue(t, ann), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := judge(t, trustIn(t, root), smimetest.Multipart(t, c.signer, c.from, smimetest.Text, smimetest.Options{}))
			if (v.Status == StatusVerified) != c.good || (len(v.Errors) == 0) != c.good {
				t.Errorf("%q, %q", v.Status, v.Errors)
			}
		})
	}
}

// smimeHeader is what stands in a message before its Content-Type.
func smimeHeader(text string) string {
	before, _, _ := strings.Cut(text, "Content-Type: multipart/signed")
	return before
}

func TestWhatHappenedOnTheWayIsTold(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	trust, signer := trustIn(t, root), root.Issue(t, ann)
	good := smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{})
	nested := "Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n" + smimetest.Text + "\r\n--inner\r\nContent-Type: image/png\r\n\r\nx\r\n--inner--\r\n"
	mixed := "Content-Type: text/plain\r\n\r\none\ntwo\r\nthree\rfour\n"
	list := smimetest.Header(ann) + "Content-Type: multipart/mixed; boundary=list\r\n\r\n--list\r\n" +
		strings.TrimPrefix(good, smimeHeader(good)) + "\r\n--list\r\nContent-Type: text/plain\r\n\r\nTo unsubscribe, write.\r\n--list--\r\n"
	inside := smimetest.Header(ann) + "Content-Type: multipart/mixed; boundary=list\r\n\r\n--list\r\nContent-Type: message/rfc822\r\n\r\n" + good + "\r\n--list--\r\n"

	verified(t, trust, smimetest.Multipart(t, signer, ann, nested, smimetest.Options{}))
	verified(t, trust, smimetest.Multipart(t, signer, ann, mixed, smimetest.Options{}))
	verified(t, trust, strings.ReplaceAll(good, "\r\n", "\n"))
	verified(t, trust, strings.ReplaceAll(good, "noon.\r\n", "noon.\n"))
	verified(t, trust, smimetest.Multipart(t, signer, ann, "\r\n", smimetest.Options{}))
	failed(t, trust, strings.ReplaceAll(smimetest.Multipart(t, signer, ann, mixed, smimetest.Options{}), "three\r", "three\n"), "changed after it was signed")
	failed(t, trust, strings.Replace(good, "noon", "nine", 1), "changed after it was signed")
	failed(t, trust, strings.Replace(good, "noon.\r\n", "noon. \r\n", 1), "changed after it was signed")
	failed(t, trust, strings.Replace(good, "keys.\r\n", "keys.\r\n_____\r\nThe list\r\n", 1), "changed after it was signed")
	failed(t, trust, strings.Replace(good, "charset=utf-8", "charset=us-ascii", 1), "changed after it was signed")
	bare := smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{Bare: true})
	verified(t, trust, strings.ReplaceAll(bare, "\r\n", "\n"))
	failed(t, trust, strings.Replace(bare, "noon", "nine", 1), "changed after it was signed")
	failed(t, trust, list, "only a part of the message")
	if v := judge(t, trust, inside); v.Status != "" {
		t.Errorf("a signature of an attached message counts: %q", v.Status)
	}
}

func TestShapesOfSMIMEAreTold(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	signer, trust := root.Issue(t, ann), trustIn(t, root)
	sign := func(content string) []byte {
		return smimetest.Sign(t, signer, []byte(content), smimetest.Options{Enclosed: true})
	}
	enveloped := smimetest.PKCS7MIME(smimetest.Enveloped(t), "enveloped-data")
	pgp := strings.Replace(smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{}), "application/pkcs7-signature\"", "application/pgp-signature\"", 1)
	certsOnly := smimetest.TLV(0x30, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"), smimetest.TLV(0xa0, smimetest.TLV(0x30, []byte{2, 1, 1}, smimetest.TLV(0x31),
		smimetest.TLV(0x30, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")), smimetest.TLV(0xa0, signer.Certificate.Raw), smimetest.TLV(0x31))))
	unnamed := strings.Replace(smimetest.Opaque(ann, sign(smimetest.Text), "x"), "application/pkcs7-mime; smime-type=x", "application/octet-stream", 1)
	got := map[string]Status{}
	for name, text := range map[string]string{
		"plain":                      smimetest.Header(ann) + smimetest.Text,
		"opaque":                     smimetest.Opaque(ann, sign(smimetest.Text), "signed-data"),
		"opaque without a type":      unnamed,
		"encrypted":                  smimetest.Header(ann) + enveloped,
		"signed around encrypted":    smimetest.Multipart(t, signer, ann, enveloped, smimetest.Options{}),
		"opaque around encrypted":    smimetest.Opaque(ann, sign(enveloped), "signed-data"),
		"another protocol":           pgp,
		"certificates only":          smimetest.Opaque(ann, certsOnly, "certs-only"),
		"no CMS":                     smimetest.Opaque(ann, []byte("no"), "signed-data"),
		"a signature in a signature": smimetest.Multipart(t, signer, ann, strings.ReplaceAll(smimetest.Signed(smimetest.Sign(t, signer, []byte(smimetest.Text), smimetest.Options{}), smimetest.Text), "outer", "inner"), smimetest.Options{}),
	} {
		got[name] = judge(t, trust, text).Status
	}
	want := map[string]Status{
		"plain": "", "opaque": StatusVerified, "opaque without a type": StatusVerified, "encrypted": "",
		"signed around encrypted": StatusVerified, "opaque around encrypted": StatusVerified, "another protocol": StatusUnknown,
		"certificates only": StatusUnknown, "no CMS": StatusUnknown, "a signature in a signature": StatusVerified,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestVerdictsTellWhenTheyMayBecomeOthers(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	ends := noon.Add(48 * time.Hour)
	signer := root.Issue(t, ann, func(r *smimetest.Request) { r.NotAfter = ends })
	text := []byte(smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{}))
	s, trust := Open(text, message.Parse(text)), trustIn(t, root)
	first := s.Judge(trust, noon)
	if first.Status != StatusVerified || !first.Until.Equal(ends.Add(time.Second)) {
		t.Errorf("%q until %s; want it verified until %s", first.Status, first.Until, ends)
	}
	if then := s.Judge(trust, first.Until); then.Status != StatusFailed || !slices.ContainsFunc(then.Errors, func(e string) bool { return strings.Contains(e, "2026-11-25T12:00:00Z") }) {
		t.Errorf("then %q, %q", then.Status, then.Errors)
	}
	late := smimetest.Multipart(t, signer, ann, smimetest.Text, smimetest.Options{Time: ends.Add(time.Hour)})
	failed(t, trust, late, "when the signer's certificate was not valid")
}
