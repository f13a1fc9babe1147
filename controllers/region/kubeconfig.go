package region

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// maxKubeConfigBytes bounds what is parsed; a kubeconfig for one cluster has a few
// kilobytes.
const maxKubeConfigBytes = 64 << 10

// Remote is how to reach another cluster: an address, whom to trust, and one
// credential, all of it by value.
type Remote struct {
	// Server is the https URL of the API server.
	Server string
	// ServerName overrides the name that the server's certificate must carry.
	ServerName string
	// CAData holds the PEM certificates that are trusted, and no other.
	CAData []byte
	// Token, or ClientCertificate with ClientKey (PEM), authenticates.
	Token                        string
	ClientCertificate, ClientKey []byte
}

// ParseKubeConfig reads the current context of a kubeconfig. A kubeconfig is a
// program in disguise: it can name binaries to run and files to read. Only a
// server over https, CA data, and a token or a client certificate are accepted,
// and each error says which field to remove or add. No error carries a value of a
// credential.
func ParseKubeConfig(raw []byte) (*Remote, error) {
	if len(raw) > maxKubeConfigBytes {
		return nil, fmt.Errorf("kubeconfig has %d bytes, more than %d: leave one context in it", len(raw), maxKubeConfigBytes)
	}
	config, err := clientcmd.Load(raw)
	if err != nil {
		return nil, errors.New("not a kubeconfig: write apiVersion v1, kind Config")
	}
	current, ok := config.Contexts[config.CurrentContext]
	if !ok || current == nil {
		return nil, errors.New("current-context names no context: set it")
	}
	cluster, ok := config.Clusters[current.Cluster]
	if !ok || cluster == nil {
		return nil, errors.New("the current context names no cluster: add it under clusters")
	}
	user, ok := config.AuthInfos[current.AuthInfo]
	if !ok || user == nil {
		return nil, errors.New("the current context names no user: add it under users")
	}
	if err := checkCluster(cluster); err != nil {
		return nil, err
	}
	if err := checkUser(user); err != nil {
		return nil, err
	}
	return &Remote{
		Server: cluster.Server, ServerName: cluster.TLSServerName, CAData: cluster.CertificateAuthorityData,
		Token: user.Token, ClientCertificate: user.ClientCertificateData, ClientKey: user.ClientKeyData,
	}, nil
}

func checkCluster(c *clientcmdapi.Cluster) error {
	server, err := url.Parse(c.Server)
	switch {
	case err != nil || server.Scheme != "https" || server.Host == "" || server.User != nil:
		return errors.New("cluster.server is not an https URL: name the API server as https://host:port")
	case c.InsecureSkipTLSVerify:
		return errors.New("cluster.insecure-skip-tls-verify is refused: give certificate-authority-data")
	case c.CertificateAuthority != "":
		return errors.New("cluster.certificate-authority names a file: give certificate-authority-data")
	case c.ProxyURL != "":
		return errors.New("cluster.proxy-url is refused: name the API server itself")
	case !x509.NewCertPool().AppendCertsFromPEM(c.CertificateAuthorityData):
		return errors.New("cluster.certificate-authority-data holds no PEM certificate: give the CA of the API server")
	}
	return nil
}

func checkUser(u *clientcmdapi.AuthInfo) error {
	switch {
	case u.Exec != nil:
		return errors.New("user.exec runs a program: give a token or a client certificate")
	case u.AuthProvider != nil:
		return errors.New("user.auth-provider is refused: give a token or a client certificate")
	case u.TokenFile != "" || u.ClientCertificate != "" || u.ClientKey != "":
		return errors.New("user names a file (tokenFile, client-certificate or client-key): give the data itself")
	case u.Username != "" || u.Password != "":
		return errors.New("user.username and user.password are refused: give a token or a client certificate")
	case u.Impersonate != "" || u.ImpersonateUID != "" || len(u.ImpersonateGroups) > 0 || len(u.ImpersonateUserExtra) > 0:
		return errors.New("user impersonation (as, as-uid, as-groups, as-user-extra) is refused: give the credential of the account itself")
	}
	return checkCredential(u)
}

func checkCredential(u *clientcmdapi.AuthInfo) error {
	certificate := len(u.ClientCertificateData) > 0 || len(u.ClientKeyData) > 0
	switch {
	case certificate == (u.Token != ""):
		return errors.New("user has no credential, or two: give either token or client-certificate-data with client-key-data")
	case certificate:
		if _, err := tls.X509KeyPair(u.ClientCertificateData, u.ClientKeyData); err != nil {
			return errors.New("user.client-certificate-data and user.client-key-data are no matching PEM pair")
		}
	}
	return nil
}
