package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

var now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func secretOf(cloud string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "bailiwick-system", Name: SecretName(cloud), UID: "1", ResourceVersion: "1",
			Labels: map[string]string{v1alpha1.LabelCloud: cloud},
		},
		Type: corev1.SecretTypeTLS,
		Data: data,
	}
}

func newAuthority(t *testing.T, cloud string, algorithm v1alpha1.KeyAlgorithm, at time.Time) *Authority {
	t.Helper()
	data, err := Generate(cloud, algorithm, at)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Parse(cloud, secretOf(cloud, data))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *Authority, r Request, at time.Time) map[string][]byte {
	t.Helper()
	data, err := a.Issue(r, at)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestIssuedCertificateServesTLSUnderItsNames(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []v1alpha1.KeyAlgorithm{v1alpha1.KeyECDSAP256, v1alpha1.KeyECDSAP384} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t, "gcc-high", algorithm, now)
			if got := a.Algorithm(); got != algorithm {
				t.Errorf("algorithm of the root is %q, want %q", got, algorithm)
			}
			hosts := append(ServingHosts("virginia.sync.agency.us", "virginia-sync", "regions-gcch"), "127.0.0.9", "2001:db8::1")
			data := issue(t, a, Request{Hosts: hosts, Algorithm: algorithm, Lifetime: DefaultLifetime}, now)
			pair, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(data[CAKey]) {
				t.Fatal("ca.crt holds no certificate")
			}
			for _, host := range hosts {
				handshake(t, &pair, roots, host)
			}
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: "other.agency.us"}); err == nil {
				t.Error("the certificate verifies under a name that was not asked for")
			}
			if got := curveName(t, pair.Leaf); got != curves[algorithm] {
				t.Errorf("curve is %s, want %s", got, curves[algorithm])
			}
			if !slices.Equal(pair.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || pair.Leaf.IsCA {
				t.Errorf("usages are %v and IsCA is %t, want serverAuth only", pair.Leaf.ExtKeyUsage, pair.Leaf.IsCA)
			}
		})
	}
}

var curves = map[v1alpha1.KeyAlgorithm]string{v1alpha1.KeyECDSAP256: "P-256", v1alpha1.KeyECDSAP384: "P-384"}

func curveName(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	public, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		t.Fatalf("public key is a %T", c.PublicKey)
	}
	return public.Curve.Params().Name
}

func handshake(t *testing.T, pair *tls.Certificate, roots *x509.CertPool, host string) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	done := make(chan error, 1)
	clock := func() time.Time { return now }
	go func() {
		done <- tls.Server(server, &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12, Time: clock}).HandshakeContext(t.Context())
	}()
	if err := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12, Time: clock}).HandshakeContext(t.Context()); err != nil {
		t.Fatalf("client handshake with %q: %v", host, err)
	}
	if err := <-done; err != nil {
		t.Fatalf("server handshake as %q: %v", host, err)
	}
}

func TestRootSignsNoFurtherAuthority(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	if c := a.certificate; !c.IsCA || !c.MaxPathLenZero || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("root has IsCA %t, MaxPathLenZero %t, usage %v", c.IsCA, c.MaxPathLenZero, c.KeyUsage)
	}
	if got := a.NotAfter().Sub(now); got != RootLifetime {
		t.Errorf("root lives %s, want %s", got, RootLifetime)
	}
}

func TestUnknownKeyAlgorithmIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := Generate("gcc-high", "RSA-2048", now); err == nil || !strings.Contains(err.Error(), `"RSA-2048"`) {
		t.Errorf("Generate: %v, want an error that names the algorithm", err)
	}
	a := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	if _, err := a.Issue(Request{Hosts: []string{"a"}, Algorithm: "RSA-2048", Lifetime: time.Hour}, now); err == nil {
		t.Error("Issue accepts an unknown algorithm")
	}
}

func TestIssueRefusesWhatCannotServe(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	for name, tc := range map[string]struct {
		request Request
		at      time.Time
	}{
		"no host":      {Request{Algorithm: v1alpha1.KeyECDSAP256, Lifetime: time.Hour}, now},
		"no lifetime":  {Request{Hosts: []string{"a"}, Algorithm: v1alpha1.KeyECDSAP256}, now},
		"expired root": {Request{Hosts: []string{"a"}, Algorithm: v1alpha1.KeyECDSAP256, Lifetime: time.Hour}, now.Add(RootLifetime)},
	} {
		if _, err := a.Issue(tc.request, tc.at); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMalformedAuthorityNamesTheKeyAtFault(t *testing.T) {
	t.Parallel()
	good, err := Generate("gcc-high", v1alpha1.KeyECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Generate("worldwide", v1alpha1.KeyECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(t, newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now), Request{Hosts: []string{"a"}, Algorithm: v1alpha1.KeyECDSAP256, Lifetime: time.Hour}, now)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	with := func(crt, private []byte) map[string][]byte {
		return map[string][]byte{corev1.TLSCertKey: crt, corev1.TLSPrivateKeyKey: private}
	}
	crt, private := good[corev1.TLSCertKey], good[corev1.TLSPrivateKeyKey]
	for name, tc := range map[string]struct {
		data map[string][]byte
		want string
	}{
		"no data":              {nil, "tls.crt: no PEM certificate"},
		"no certificate":       {with(nil, private), "tls.crt: no PEM certificate"},
		"certificate is noise": {with([]byte("noise"), private), "tls.crt: no PEM certificate"},
		"certificate is cut":   {with(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: []byte("cut")}), private), "tls.crt: not an X.509 certificate"},
		"no key":               {with(crt, nil), "tls.key: no PEM private key"},
		"key is a certificate": {with(crt, crt), "tls.key: no PEM private key"},
		"key is cut":           {with(crt, pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: []byte("cut")})), "tls.key: not a PKCS #8 private key"},
		"key is RSA":           {with(crt, pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: rsaDER})), "tls.key: not an ECDSA key"},
		"key of another":       {with(crt, other[corev1.TLSPrivateKeyKey]), "tls.key: does not match"},
		"root of another":      {other, "it is not the root of this cloud"},
		"serving certificate":  {leaf, "it is not the root of this cloud"},
	} {
		_, err := Parse("gcc-high", secretOf("gcc-high", tc.data))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want ErrMalformed with %q", name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error shows content of the Secret", name)
		}
	}
}

func TestSecretOfAnotherCloudIsRefused(t *testing.T) {
	t.Parallel()
	data, err := Generate("worldwide", v1alpha1.KeyECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("gcc-high", secretOf("worldwide", data)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), v1alpha1.LabelCloud) {
		t.Errorf("error %v, want ErrMalformed that names the label", err)
	}
}

func TestForgedRootIsRefused(t *testing.T) {
	t.Parallel()
	victim := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := *victim.certificate
	template.IsCA, template.MaxPathLen, template.MaxPathLenZero, template.KeyUsage = false, 0, false, x509.KeyUsageDigitalSignature
	template.PublicKey = key.Public()
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("gcc-high", secretOf("gcc-high", map[string][]byte{corev1.TLSCertKey: encodeCertificate(der), corev1.TLSPrivateKeyKey: private}))
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "not a certificate authority") {
		t.Errorf("error %v, want ErrMalformed", err)
	}
	template = *victim.certificate
	der, err = x509.CreateCertificate(rand.Reader, &template, victim.certificate, key.Public(), victim.key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("gcc-high", secretOf("gcc-high", map[string][]byte{corev1.TLSCertKey: encodeCertificate(der), corev1.TLSPrivateKeyKey: private}))
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "not signed by itself") {
		t.Errorf("error %v, want ErrMalformed", err)
	}
}

func TestReaderReadsAgainWhenTheSecretChanges(t *testing.T) {
	t.Parallel()
	data, err := Generate("gcc-high", v1alpha1.KeyECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader()
	secret := secretOf("gcc-high", data)
	first, err := r.Authority("gcc-high", secret)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Authority("gcc-high", secret.DeepCopy())
	if err != nil || again != first {
		t.Errorf("an unchanged Secret was read again (error %v)", err)
	}
	broken := secret.DeepCopy()
	broken.ResourceVersion, broken.Data = "2", nil
	if _, err := r.Authority("gcc-high", broken); !errors.Is(err, ErrMalformed) {
		t.Errorf("error %v, want ErrMalformed", err)
	}
	if a, err := r.Authority("gcc-high", nil); a != nil || err != nil {
		t.Errorf("no Secret yields %v, %v", a, err)
	}
	if _, err := r.Authority("worldwide", secret); !errors.Is(err, ErrMalformed) {
		t.Errorf("the Secret of one cloud is read as that of another: %v", err)
	}
}

func TestReaderJudgesAServingSecretAgainstTheAuthorityAtHand(t *testing.T) {
	t.Parallel()
	a, b := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now), newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	request := Request{Hosts: []string{"a.example"}, Algorithm: v1alpha1.KeyECDSAP256, Lifetime: time.Hour}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s", UID: "1", ResourceVersion: "1"}, Data: issue(t, a, request, now)}
	r := NewReader()
	first := r.Serving(a, secret)
	if first.signer != a.Fingerprint() || r.Serving(a, secret) != first {
		t.Error("the certificate is not remembered as signed by its authority")
	}
	if got := r.Serving(b, secret); got.signer != "" {
		t.Error("the certificate is taken as signed by an authority that did not sign it")
	}
	if got := r.Serving(nil, secret); got.signer != "" || got.Problem != "" {
		t.Errorf("without an authority: %+v", got)
	}
	if r.Serving(a, nil) != nil {
		t.Error("no Secret yields facts")
	}
	kept := r.Serving(a, secret)
	r.Forget(clientKey(secret))
	if r.Serving(a, secret) == kept {
		t.Error("a forgotten Secret is remembered")
	}
}

func TestHostsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	got := sortedHosts([]string{"B.example", "::ffff:192.0.2.1", "a.example", "2001:DB8:0::1", "b.example"})
	if diff := cmp.Diff([]string{"192.0.2.1", "2001:db8::1", "a.example", "b.example"}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseAcceptsOnlyWholeAuthorities(f *testing.F) {
	data, err := Generate("gcc-high", v1alpha1.KeyECDSAP256, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"), []byte{})
	f.Fuzz(func(t *testing.T, crt, private []byte) {
		a, err := Parse("gcc-high", secretOf("gcc-high", map[string][]byte{corev1.TLSCertKey: crt, corev1.TLSPrivateKeyKey: private}))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v is not ErrMalformed", err)
			}
			return
		}
		if !a.Expired(a.NotAfter()) || a.certificate.Subject.CommonName != "Bailiwick CA gcc-high" {
			t.Errorf("accepted %+v", a.certificate.Subject)
		}
	})
}
