package smimetest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // tests of the refusal of SHA-1 sign with it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// Options say how to sign. The zero value signs with SHA-256 and signed attributes.
type Options struct {
	// Digest is the hash function; 0 means SHA-256.
	Digest crypto.Hash
	// PSS signs with RSASSA-PSS.
	PSS bool
	// Bare leaves the signed attributes out.
	Bare bool
	// Time is the signing time; zero leaves it out.
	Time time.Time
	// KeyID names the certificate by its key.
	KeyID bool
	// Enclosed puts the content into the signature.
	Enclosed bool
	// Indefinite writes the outer values and the content the way a program does that does not know their length yet.
	Indefinite bool
	// ContentType is the type of the content; empty means data.
	ContentType asn1.ObjectIdentifier
	// Extra are further certificates to send along.
	Extra []*x509.Certificate
	// Signers sign as well.
	Signers []*Identity
}

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidPSS           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

var digestOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1:   {1, 3, 14, 3, 2, 26},
	crypto.MD5:    {1, 2, 840, 113549, 2, 5},
	crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

// TLV encodes a value of a type.
func TLV(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	size := big.NewInt(int64(len(content))).Bytes()
	if len(content) < 0x80 {
		return slices.Concat([]byte{tag}, append(make([]byte, 1-len(size)), size...), content)
	}
	return slices.Concat([]byte{tag, [...]byte{0, 0x81, 0x82, 0x83, 0x84}[len(size)]}, size, content)
}

// Indefinite encodes a value of a type without its length.
func Indefinite(tag byte, parts ...[]byte) []byte {
	return slices.Concat([]byte{tag, 0x80}, bytes.Join(parts, nil), []byte{0, 0})
}

func der(tb testing.TB, value any) []byte {
	tb.Helper()
	out, err := asn1.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// Sign makes the CMS signature of a content.
func Sign(tb testing.TB, i *Identity, content []byte, o Options) []byte {
	tb.Helper()
	if o.Digest == 0 {
		o.Digest = crypto.SHA256
	}
	if o.ContentType == nil {
		o.ContentType = oidData
	}
	outer := TLV
	if o.Indefinite {
		outer = Indefinite
	}
	var signers, certificates [][]byte
	for _, signer := range append([]*Identity{i}, o.Signers...) {
		signers = append(signers, signerInfo(tb, signer, content, o))
		for _, c := range append([]*x509.Certificate{signer.Certificate}, signer.Issuers...) {
			certificates = append(certificates, c.Raw)
		}
	}
	for _, c := range o.Extra {
		certificates = append(certificates, c.Raw)
	}
	encapsulated := [][]byte{der(tb, o.ContentType)}
	switch {
	case o.Enclosed && o.Indefinite:
		half := len(content) / 2
		encapsulated = append(encapsulated, outer(0xa0, outer(0x24, TLV(0x04, content[:half]), TLV(0x04, content[half:]))))
	case o.Enclosed:
		encapsulated = append(encapsulated, TLV(0xa0, TLV(0x04, content)))
	}
	return outer(0x30, der(tb, oidSignedData), outer(0xa0, outer(0x30,
		der(tb, 1), TLV(0x31, digestAlgorithm(tb, o.Digest)), outer(0x30, encapsulated...), TLV(0xa0, certificates...), TLV(0x31, signers...))))
}

func digestAlgorithm(tb testing.TB, h crypto.Hash) []byte {
	tb.Helper()
	return der(tb, pkix.AlgorithmIdentifier{Algorithm: digestOIDs[h], Parameters: asn1.NullRawValue})
}

func signerInfo(tb testing.TB, i *Identity, content []byte, o Options) []byte {
	tb.Helper()
	signed := content
	var attributes []byte
	if !o.Bare {
		set := signedAttributes(tb, content, o)
		signed = TLV(0x31, set)
		attributes = TLV(0xa0, set)
	}
	identifier := TLV(0x30, i.Certificate.RawIssuer, der(tb, i.Certificate.SerialNumber))
	if o.KeyID {
		identifier = TLV(0x80, i.Certificate.SubjectKeyId)
	}
	algorithm, value := signature(tb, i.Key, signed, o)
	return TLV(0x30, der(tb, 1), identifier, digestAlgorithm(tb, o.Digest), attributes, algorithm, TLV(0x04, value))
}

func signedAttributes(tb testing.TB, content []byte, o Options) []byte {
	tb.Helper()
	h := o.Digest.New()
	h.Write(content)
	list := [][]byte{
		TLV(0x30, der(tb, oidContentType), TLV(0x31, der(tb, o.ContentType))),
		TLV(0x30, der(tb, oidMessageDigest), TLV(0x31, TLV(0x04, h.Sum(nil)))),
	}
	if !o.Time.IsZero() {
		list = append(list, TLV(0x30, der(tb, oidSigningTime), TLV(0x31, der(tb, o.Time.UTC()))))
	}
	slices.SortFunc(list, bytes.Compare)
	return bytes.Join(list, nil)
}

func signature(tb testing.TB, key crypto.Signer, signed []byte, o Options) (algorithm, value []byte) {
	tb.Helper()
	h := o.Digest.New()
	h.Write(signed)
	input, options, oid := h.Sum(nil), crypto.SignerOpts(o.Digest), asn1.ObjectIdentifier{}
	switch key.(type) {
	case *rsa.PrivateKey:
		oid = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
		if o.PSS {
			options = &rsa.PSSOptions{SaltLength: o.Digest.Size(), Hash: o.Digest}
		}
	case *ecdsa.PrivateKey:
		oid = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, map[crypto.Hash]int{crypto.SHA256: 2, crypto.SHA384: 3, crypto.SHA512: 4}[o.Digest]}
	case ed25519.PrivateKey:
		input, options, oid = signed, crypto.Hash(0), asn1.ObjectIdentifier{1, 3, 101, 112}
	}
	value, err := key.Sign(rand.Reader, input, options)
	if err != nil {
		tb.Fatalf("sign: %v", err)
	}
	if o.PSS {
		mask := TLV(0x30, der(tb, oidMGF1), digestAlgorithm(tb, o.Digest))
		return TLV(0x30, der(tb, oidPSS), TLV(0x30,
			TLV(0xa0, digestAlgorithm(tb, o.Digest)), TLV(0xa1, mask), TLV(0xa2, der(tb, o.Digest.Size())))), value
	}
	return TLV(0x30, der(tb, oid)), value
}

// Header is the beginning of a message from somebody, with line ends of the network.
func Header(from string) string {
	return "From: " + from + "\r\nTo: bob@agency.us\r\nSubject: Signed\r\nMessage-ID: <" + big.NewInt(serial.Add(1)).String() + "@agency.us>\r\nMIME-Version: 1.0\r\n"
}

// Text is an entity to sign.
const Text = "Content-Type: text/plain; charset=utf-8\r\n\r\nMeet at noon.\r\nBring the keys.\r\n"

// Multipart makes a multipart/signed message of an entity.
func Multipart(tb testing.TB, i *Identity, from, entity string, o Options) string {
	tb.Helper()
	return Header(from) + Signed(Sign(tb, i, []byte(entity), o), entity)
}

// Signed makes the multipart/signed of an entity and its signature.
func Signed(cms []byte, entity string) string {
	return "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"outer\"\r\n\r\n" +
		"This is signed.\r\n--outer\r\n" + entity + "\r\n--outer\r\n" +
		"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=smime.p7s\r\n\r\n" + Base64(cms) + "\r\n--outer--\r\n"
}

// Opaque makes an application/pkcs7-mime message of CMS.
func Opaque(from string, cms []byte, kind string) string {
	return Header(from) + PKCS7MIME(cms, kind)
}

// PKCS7MIME makes an entity of CMS.
func PKCS7MIME(cms []byte, kind string) string {
	return "Content-Type: application/pkcs7-mime; smime-type=" + kind + "; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n" + Base64(cms) + "\r\n"
}

// Enveloped makes CMS that looks encrypted.
func Enveloped(tb testing.TB) []byte {
	tb.Helper()
	return TLV(0x30, der(tb, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}), TLV(0xa0, TLV(0x30, der(tb, 0), TLV(0x31), TLV(0x30, der(tb, oidData)))))
}

// Base64 encodes octets in lines.
func Base64(data []byte) string {
	var lines []string
	for text := base64.StdEncoding.EncodeToString(data); text != ""; {
		n := min(len(text), 76)
		lines, text = append(lines, text[:n]), text[n:]
	}
	return strings.Join(lines, "\r\n")
}
