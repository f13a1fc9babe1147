package world

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/oauth2"
	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/corpus"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
)

// httpsPort is the port of a region's URL.
const httpsPort = "443"

// Region is where a region of the samples is reached.
type Region struct {
	// URL is the base URL that clients use.
	URL string
	// Host is the host of the URL.
	Host string
	// Listen is where the load balancer of the local node listens, "address:port".
	Listen string
	// CA is the PEM bundle that signed the serving certificate, and CAFile a file of
	// this run that holds it.
	CA     []byte
	CAFile string
}

// Region returns a region that is ready.
func (w *World) Region(name cast.Object) Region { return w.regions[name] }

// findRegion gathers what a client needs to know of a region.
func (w *World) findRegion(ctx context.Context, name cast.Object) (Region, error) {
	region, err := kube.Get[v1alpha1.MailboxRegion](ctx, w.Cluster, kube.Regions, name.Namespace, name.Name)
	if err != nil {
		return Region{}, err
	}
	base, err := url.Parse(region.Status.EndpointURL)
	if err != nil || base.Host == "" {
		return Region{}, fmt.Errorf("region %q: endpoint URL %q is not a URL", name, region.Status.EndpointURL)
	}
	service, err := kube.Get[corev1.Service](ctx, w.Cluster, kube.Services, name.Namespace, name.Name+"-sync")
	if err != nil {
		return Region{}, err
	}
	listen, err := listenAddress(service)
	if err != nil {
		return Region{}, fmt.Errorf("region %q: %w", name, err)
	}
	bundle, err := kube.Get[corev1.ConfigMap](ctx, w.Cluster, kube.ConfigMaps, name.Namespace, name.Name+"-ca")
	if err != nil {
		return Region{}, err
	}
	found := Region{
		URL: region.Status.EndpointURL, Host: base.Hostname(), Listen: listen, CA: []byte(bundle.Data["ca.crt"]),
		CAFile: filepath.Join(w.Folder, name.Name+"-ca.crt"),
	}
	if err := os.WriteFile(found.CAFile, found.CA, 0o600); err != nil {
		return Region{}, fmt.Errorf("region %q: %w", name, err)
	}
	return found, nil
}

// listenAddress returns where the load balancer of a Service listens. A node without
// the right to use port 443 says in the status which port it took instead.
func listenAddress(service *corev1.Service) (string, error) {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if ingress.IP == "" || len(service.Spec.Ports) == 0 {
			continue
		}
		port := service.Spec.Ports[0].Port
		for _, taken := range ingress.Ports {
			port = taken.Port
		}
		return net.JoinHostPort(ingress.IP, strconv.Itoa(int(port))), nil
	}
	return "", fmt.Errorf("service %q: no load balancer address", service.Name)
}

// HTTP returns a client that reaches the regions by their names.
func (w *World) HTTP() (*http.Client, error) {
	roots, routes := x509.NewCertPool(), mailclient.Routes{}
	for name, region := range w.regions {
		if !roots.AppendCertsFromPEM(region.CA) {
			return nil, fmt.Errorf("region %q: the CA bundle holds no certificate", name)
		}
		routes[net.JoinHostPort(region.Host, httpsPort)] = region.Listen
	}
	return mailclient.NewHTTP(roots, routes), nil
}

// open signs a resident in and opens their mailbox through the tenant's home region,
// from where the client is sent on if the mailbox is elsewhere. It returns the tokens as
// well.
func (w *World) open(ctx context.Context, r cast.Resident) (*mailclient.Account, *oauth2.Token, error) {
	token, err := w.signIn(ctx, r.Cloud, r.Email, r.Device)
	if err != nil {
		return nil, nil, err
	}
	plain, err := w.HTTP()
	if err != nil {
		return nil, nil, err
	}
	account, err := mailclient.Open(plain, w.Region(r.Home).URL, token.AccessToken)
	if err != nil {
		return nil, nil, fmt.Errorf("mailbox of %q: %w", r.Email, err)
	}
	return account, token, nil
}

// ImportCorpus fills the mailbox of a resident and returns how many messages there are.
func (w *World) ImportCorpus(ctx context.Context, r cast.Resident) (count int, err error) {
	name := filepath.Join(w.Folder, r.Email+".mbox")
	file, err := os.Create(name)
	if err != nil {
		return 0, fmt.Errorf("mailbox of %q: %w", r.Email, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := corpus.Generate(file, cast.Person(r.Email), cast.Correspondents(r.Email)); err != nil {
		return 0, err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return 0, fmt.Errorf("mailbox of %q: %w", r.Email, err)
	}
	account, _, err := w.open(ctx, r)
	if err != nil {
		return 0, err
	}
	defer account.Close()
	count, err = account.Import(ctx, file)
	if err != nil {
		return count, fmt.Errorf("mailbox of %q: %w", r.Email, err)
	}
	return count, nil
}
