package tenantdoc

import (
	"strings"
	"testing"
)

const testRoot = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUfJBn3aDfBxdSkQEIYn9Vt5a5tE0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJVGVzdCBSb290MCAXDTI2MTEyNTE4MDU1OVoYDzIxMjYxMTAx
MTgwNTU5WjAUMRIwEAYDVQQDDAlUZXN0IFJvb3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARoS1HmW74f5WI++QRTmqdw1MPphFXAAzu47upYhlXnBJa1zCtHtMXC
t13v2nBndjwQpaMO4U2984E1MX9hX4g8o1MwUTAdBgNVHQ4EFgQUZ9b5rSKGDkwe
vJTntuTs9LWoyOcwHwYDVR0jBBgwFoAUZ9b5rSKGDkwevJTntuTs9LWoyOcwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBVLnyj15m6EzU+sqBf6xrQ
C1ooS8/fqyqA6MeFRf8N2AIgLWbwWyEDN4E2QcdkxMnpG4Vo2eHWzAAWaMPWH1T6
bgQ=
-----END CERTIFICATE-----
`

func TestSMIMEIsNoPartOfADocumentThatDoesNotUseIt(t *testing.T) {
	t.Parallel()
	d := valid()
	d.SMIME = nil
	raw, err := Encode(d)
	if err != nil || strings.Contains(string(raw), `"smime":{`) {
		t.Errorf("%s, %v", raw, err)
	}
	d.SMIME = &SMIME{}
	if raw, err = Encode(d); err != nil || !strings.Contains(string(raw), `"smime":{}`) {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestCertificatesAreCheckedWithinBounds(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	for name, tc := range map[string]struct{ bundle, want string }{
		"one":         {testRoot, ""},
		"with a note": {"the root of the agency\n" + testRoot + "that was it\n", ""},
		"nothing":     {"", "no PEM certificate"},
		"a key":       {testRoot + key, `PEM block 2 is a "PRIVATE KEY", not a CERTIFICATE`},
		"no DER":      {strings.ReplaceAll(key, "PRIVATE KEY", "CERTIFICATE"), "PEM block 1: x509"},
		"too many":    {strings.Repeat(testRoot, MaxSMIMECertificates+1), "more than 256 certificates"},
		"too long":    {strings.Repeat("x", MaxSMIMEBytes+1), "262145 bytes, more than 262144"},
	} {
		err := CheckCertificates(tc.bundle)
		if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func FuzzCertificates(f *testing.F) {
	f.Add(testRoot)
	f.Add("-----BEGIN CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, bundle string) {
		if err := CheckCertificates(bundle); err == nil && !strings.Contains(bundle, "CERTIFICATE") {
			t.Error("accepted without a certificate")
		}
	})
}
