package smime

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime/smimetest"
)

func TestMessagesThatAnotherProgramSignedAreVerified(t *testing.T) {
	t.Parallel()
	root, err := os.ReadFile("testdata/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := NewTrust(string(root), "")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) != 7 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := Open(text, message.Parse(text))
		if name := filepath.Base(file); strings.HasPrefix(name, "encrypted") {
			if s != nil {
				t.Errorf("%s counts as signed", name)
			}
			continue
		}
		v := s.Judge(trust, time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC))
		refused := strings.HasPrefix(filepath.Base(file), "refused")
		if (v.Status == StatusVerified) == refused || refused && !strings.Contains(v.Errors[0], "SHA-1") {
			t.Errorf("%s: %q, %q", file, v.Status, v.Errors)
		}
		if !refused && !strings.Contains(file, "ec") && !strings.Contains(file, "bare") && len(v.Certificates) != 1 {
			t.Errorf("%s: %d certificates to encrypt for", file, len(v.Certificates))
		}
	}
}

func TestHostileSignaturesAreRefusedWithinBounds(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	signer := root.Issue(t, ann)
	deep := smimetest.TLV(0x04, []byte("x"))
	for range 4000 {
		deep = smimetest.TLV(0x24, deep)
	}
	open := bytes.Repeat([]byte{0x24, 0x80}, maxDetached/4)
	many := make([]*x509.Certificate, maxCertificates+1)
	for i := range many {
		many[i] = signer.Certificate
	}
	signers := make([]*smimetest.Identity, maxSigners+1)
	for i := range signers {
		signers[i] = signer
	}
	content := []byte(smimetest.Text)
	good := smimetest.Sign(t, signer, content, smimetest.Options{})
	wrap := func(content []byte) []byte {
		return smimetest.TLV(0x30, good[4:15], smimetest.TLV(0xa0, smimetest.TLV(0x30, []byte{2, 1, 1}, smimetest.TLV(0x31),
			smimetest.TLV(0x30, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"), smimetest.TLV(0xa0, content)), smimetest.TLV(0x31))))
	}
	for name, c := range map[string]struct {
		cms []byte
		why string
	}{
		"deep":                 {wrap(deep), "nested more than"},
		"deep without an end":  {wrap(open), "nested more than"},
		"many certificates":    {smimetest.Sign(t, signer, content, smimetest.Options{Extra: many}), "more than 64"},
		"many signers":         {smimetest.Sign(t, signer, content, smimetest.Options{Signers: signers}), "more than 16"},
		"huge":                 {append(good, make([]byte, maxDetached)...), "too large"},
		"cut":                  {good[:len(good)-1], "cut short"},
		"a length beyond all":  {[]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, "cut short"},
		"a length of a length": {[]byte{0x30, 0xff, 0, 0}, "length that is not understood"},
		"a long tag":           {[]byte{0x3f, 0x81, 0, 0}, "tag of more than one octet"},
		"empty":                {nil, "cut short"},
		"with content":         {smimetest.Sign(t, signer, content, smimetest.Options{Enclosed: true}), "content of its own"},
		"encrypted":            {smimetest.Enveloped(t), "no signed-data"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed(t, trustIn(t, root), smimetest.Header(ann)+smimetest.Signed(c.cms, smimetest.Text), c.why)
		})
	}
}

func TestSignedAttributesCannotBePassedOffAsContent(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	signer := root.Issue(t, ann)
	attributes := string(smimetest.TLV(tagSet, smimetest.TLV(tagSequence, []byte("anything"))))
	cms := smimetest.Sign(t, signer, []byte(attributes), smimetest.Options{Bare: true, Enclosed: true})
	failed(t, trustIn(t, root), smimetest.Opaque(ann, cms, "signed-data"), "something else than its content")
}

func TestSignatureOfAnotherContentTypeFails(t *testing.T) {
	t.Parallel()
	root := smimetest.NewRoot(t)
	signer := root.Issue(t, ann)
	cms := smimetest.Sign(t, signer, []byte(smimetest.Text), smimetest.Options{Enclosed: true})
	at := bytes.LastIndex(cms, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"))
	cms[at+10] = 5
	failed(t, trustIn(t, root), smimetest.Opaque(ann, cms, "signed-data"), "another type of content")
}

func FuzzOpen(f *testing.F) {
	root := smimetest.NewRoot(f)
	signer := root.Issue(f, ann)
	trust := trustIn(f, root)
	f.Add([]byte(smimetest.Text), smimetest.Sign(f, signer, []byte(smimetest.Text), smimetest.Options{}))
	f.Add([]byte(smimetest.Text), smimetest.Sign(f, signer, []byte(smimetest.Text), smimetest.Options{Enclosed: true, Indefinite: true, Time: noon}))
	f.Add([]byte(smimetest.Text), smimetest.Sign(f, root.Issue(f, ann, smimetest.WithKey(smimetest.RSA(f, 2048))), []byte(smimetest.Text), smimetest.Options{PSS: true, KeyID: true}))
	f.Add([]byte{}, smimetest.Enveloped(f))
	f.Add([]byte("\r\n"), []byte{0x30, 0x80, 0x24, 0x80, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, entity, cms []byte) {
		for _, text := range []string{
			smimetest.Header(ann) + smimetest.Signed(cms, string(entity)), smimetest.Opaque(ann, cms, "signed-data"),
		} {
			data := []byte(text)
			s := Open(data, message.Parse(data))
			if s == nil {
				continue
			}
			v := s.Judge(trust, noon)
			if (v.Status == StatusFailed) != (len(v.Errors) > 0) {
				t.Errorf("%q with %q", v.Status, v.Errors)
			}
			CheckOutgoing(Policy{RequireSigned: true, RequireEncrypted: true}, data)
		}
	})
}

func FuzzUTF8Mailboxes(f *testing.F) {
	f.Add(smimetest.TLV(0x30, smimetest.TLV(0xa0, []byte("\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x09"), smimetest.TLV(0xa0, smimetest.TLV(0x0c, []byte("a@b"))))))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, value []byte) {
		c := &x509.Certificate{}
		c.Extensions = append(c.Extensions, pkixSAN(value))
		for _, address := range utf8Mailboxes(c) {
			if _, ok := normalAddress(address); ok && constrained([]*x509.Certificate{c, {PermittedEmailAddresses: []string{address}}}, address) {
				t.Errorf("%q is not within itself", address)
			}
		}
	})
}
