package controlplane

import (
	"fmt"
	"maps"
	"os"
)

// authorities are the three roots of a plane. They are separate so that no
// client of one server is a client of another.
type authorities struct {
	cluster, etcd, frontProxy *authority
}

func newAuthorities() (*authorities, error) {
	cluster, err := newAuthority("bailiwick-cluster")
	if err != nil {
		return nil, err
	}
	etcd, err := newAuthority("bailiwick-etcd")
	if err != nil {
		return nil, err
	}
	frontProxy, err := newAuthority("bailiwick-front-proxy")
	if err != nil {
		return nil, err
	}
	return &authorities{cluster, etcd, frontProxy}, nil
}

// servers are the serving certificates of a plane by file name.
func (a *authorities) servers(address string) (map[string]keyPair, error) {
	pairs := make(map[string]keyPair)
	for _, s := range []struct {
		file   string
		issuer *authority
		hosts  []string
	}{
		{"etcd", a.etcd, []string{address}},
		{"apiserver", a.cluster, []string{
			address, serviceAddress, "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{controllerManagerName, a.cluster, []string{address}},
		{schedulerName, a.cluster, []string{address}},
	} {
		pair, err := s.issuer.server(s.file, s.hosts...)
		if err != nil {
			return nil, err
		}
		pairs[s.file] = pair
	}
	return pairs, nil
}

// clients are the client certificates that components read from files.
func (a *authorities) clients() (map[string]keyPair, error) {
	pairs := make(map[string]keyPair)
	for _, c := range []struct {
		file, user string
		issuer     *authority
		groups     []string
	}{
		{"etcd-client", "kube-apiserver", a.etcd, nil},
		{"kubelet-client", "kube-apiserver-kubelet-client", a.cluster, []string{mastersGroup}},
		{"front-proxy-client", "front-proxy-client", a.frontProxy, nil},
	} {
		pair, err := c.issuer.client(c.user, c.groups...)
		if err != nil {
			return nil, err
		}
		pairs[c.file] = pair
	}
	return pairs, nil
}

// writeFiles fills the data folder with what the components read.
func (p *Plane) writeFiles() error {
	pairs, err := p.trust.servers(p.layout.address)
	if err != nil {
		return err
	}
	clients, err := p.trust.clients()
	if err != nil {
		return err
	}
	maps.Copy(pairs, clients)
	pairs["ca"] = p.trust.cluster.keyPair
	signing, err := newSigningKey()
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"etcd-ca.crt":          p.trust.etcd.certificate,
		"front-proxy-ca.crt":   p.trust.frontProxy.certificate,
		"service-accounts.key": signing,
	}
	for name, pair := range pairs {
		files[name+".crt"], files[name+".key"] = pair.certificate, pair.key
	}
	for file, user := range map[string]string{
		adminFile:                             "bailiwick-admin",
		controllerManagerName + ".kubeconfig": "system:kube-controller-manager",
		schedulerName + ".kubeconfig":         "system:kube-scheduler",
	} {
		var groups []string
		if file == adminFile {
			groups = []string{mastersGroup}
		}
		if files[file], err = p.Kubeconfig(user, groups...); err != nil {
			return err
		}
	}
	for name, body := range files {
		if err := os.WriteFile(p.layout.path(name), body, 0o600); err != nil {
			return fmt.Errorf("write the plane's files: %w", err)
		}
	}
	return nil
}
