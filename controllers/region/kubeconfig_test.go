package region

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// pair makes a self-signed certificate and its key, base64 of PEM as a kubeconfig
// holds them.
func pair(t testing.TB) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", raw)
}

func kubeconfig(cluster, user string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {%s}}]\nusers: [{name: u, user: {%s}}]\n", cluster, user)
}

func TestAKubeconfigByValueIsAccepted(t *testing.T) {
	t.Parallel()
	certificate, key := pair(t)
	cluster := "server: 'https://remote.example:6443', certificate-authority-data: " + certificate
	for name, user := range map[string]string{
		"token":       "token: secret",
		"certificate": "client-certificate-data: " + certificate + ", client-key-data: " + key,
	} {
		remote, err := ParseKubeConfig([]byte(kubeconfig(cluster, user)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if remote.Server != "https://remote.example:6443" || len(remote.CAData) == 0 || (remote.Token == "") == (len(remote.ClientKey) == 0) {
			t.Errorf("%s: read as server %q", name, remote.Server)
		}
	}
}

func TestAKubeconfigThatReachesBeyondItselfIsRefused(t *testing.T) {
	t.Parallel()
	certificate, key := pair(t)
	_, otherKey := pair(t)
	ca := ", certificate-authority-data: " + certificate
	good := "server: 'https://remote.example'" + ca
	tests := map[string]struct{ cluster, user, want string }{
		"http":              {"server: 'http://remote.example'" + ca, "token: s3cret", "cluster.server"},
		"user information":  {"server: 'https://a:s3cret@remote.example'" + ca, "token: s3cret", "cluster.server"},
		"insecure":          {good + ", insecure-skip-tls-verify: true", "token: s3cret", "insecure-skip-tls-verify"},
		"CA file":           {good + ", certificate-authority: /etc/ca", "token: s3cret", "names a file"},
		"no CA":             {"server: 'https://remote.example'", "token: s3cret", "certificate-authority-data"},
		"proxy":             {good + ", proxy-url: 'http://proxy.example'", "token: s3cret", "proxy-url"},
		"exec":              {good, "token: s3cret, exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, interactiveMode: Never}", "user.exec"},
		"auth provider":     {good, "token: s3cret, auth-provider: {name: gcp}", "auth-provider"},
		"token file":        {good, "tokenFile: /etc/shadow", "tokenFile"},
		"certificate file":  {good, "client-certificate: /etc/x, client-key: /etc/y", "names a file"},
		"password":          {good, "username: a, password: s3cret", "user.password"},
		"impersonation":     {good, "token: s3cret, as: admin", "impersonation"},
		"no credential":     {good, "", "no credential"},
		"two credentials":   {good, "token: s3cret, client-certificate-data: " + certificate + ", client-key-data: " + key, "or two"},
		"keys do not match": {good, "client-certificate-data: " + certificate + ", client-key-data: " + otherKey, "no matching PEM pair"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseKubeConfig([]byte(kubeconfig(test.cluster, test.user)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v, want one that says %q", err, test.want)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error tells a secret or has several lines: %q", err)
			}
		})
	}
}

func TestAKubeconfigThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"not YAML":      "{",
		"no context":    "apiVersion: v1\nkind: Config\n",
		"no cluster":    "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n",
		"no user":       "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'https://x'}}]\n",
		"far too large": strings.Repeat("#", maxKubeConfigBytes+1),
	}
	for name, raw := range tests {
		if _, err := ParseKubeConfig([]byte(raw)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseKubeConfig(f *testing.F) {
	certificate, key := pair(f)
	f.Add([]byte(kubeconfig("server: 'https://x', certificate-authority-data: "+certificate, "token: t")))
	f.Add([]byte(kubeconfig("server: 'https://x', certificate-authority-data: "+certificate, "client-certificate-data: "+certificate+", client-key-data: "+key)))
	f.Add([]byte(kubeconfig("server: 'https://x'", "exec: {command: sh}")))
	f.Add([]byte("apiVersion: v1\nkind: Config\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		remote, err := ParseKubeConfig(raw)
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.ToLower(remote.Server), "https://") || len(remote.CAData) == 0 || (remote.Token == "") == (len(remote.ClientKey) == 0) {
			t.Errorf("accepted %+v", remote)
		}
	})
}
