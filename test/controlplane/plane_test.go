package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds the wait for what a plane does on its own.
const patience = time.Minute

// startPlane starts a plane for the test. The first test on a machine compiles
// the binaries.
func startPlane(t *testing.T, o Options) *Plane {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane, and compiles it on a machine that never did")
	}
	o.Progress = t.Output()
	p, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// kubectl runs kubectl with the kubeconfig and returns what it prints.
func kubectl(t *testing.T, p *Plane, config, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.Binary("kubectl"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "KUBECONFIG=" + config}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// admin runs kubectl as the administrator and wants it to succeed.
func admin(t *testing.T, p *Plane, args ...string) string {
	t.Helper()
	out, err := kubectl(t, p, p.AdminKubeconfig(), "", args...)
	if err != nil {
		t.Fatalf("kubectl %q: %v: %s", args, err, out)
	}
	return out
}

// eventually runs kubectl until it prints the text.
func eventually(t *testing.T, p *Plane, want string, args ...string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		out, err := kubectl(t, p, p.AdminKubeconfig(), "", args...)
		if err == nil && strings.Contains(out, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("kubectl %q: %v: %s: want %q", args, err, out, want)
		}
		time.Sleep(pollInterval)
	}
}

func TestWholePlaneBehavesLikeACluster(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	p := startPlane(t, Options{Parent: parent})

	if out := admin(t, p, "version"); strings.Count(out, "v1.37.2") != 2 {
		t.Errorf("client and server do not report the version: %s", out)
	}
	admin(t, p, "create", "namespace", "tenants")
	eventually(t, p, "default", "--namespace=tenants", "get", "serviceaccounts", "--output=name")
	eventually(t, p, "BEGIN CERTIFICATE", "--namespace=tenants", "get", "configmap", "kube-root-ca.crt", "--output=yaml")
	admin(t, p, "--namespace=tenants", "create", "deployment", "web", "--image=none", "--replicas=2")
	eventually(t, p, "PendingPending", "--namespace=tenants", "get", "pods", "--output=jsonpath={range .items[*]}{.status.phase}{end}")
	eventually(t, p, "no nodes available", "--namespace=tenants", "get", "events")

	t.Run("a token of a service account works", func(t *testing.T) { checkToken(t, p) })
	t.Run("RBAC decides", func(t *testing.T) { checkAuthorization(t, p) })
	t.Run("Services have addresses of the loopback network", func(t *testing.T) { checkService(t, p) })
	t.Run("privileged pods are refused", func(t *testing.T) { checkPodSecurity(t, p) })
	t.Run("an aggregated API is reached", func(t *testing.T) { checkAggregation(t, p) })

	running := p.running
	if len(running) != 4 {
		t.Errorf("%d components run, want 4", len(running))
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, component := range running {
		if err := syscall.Kill(component.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s still runs: %v", component.name, err)
		}
	}
	checkEmpty(t, parent)
	if err := p.Err(); err != nil {
		t.Errorf("the stop is taken for a failure: %v", err)
	}
}

func checkToken(t *testing.T, p *Plane) {
	token := admin(t, p, "--namespace=tenants", "create", "token", "default")
	out, err := kubectl(t, p, "/dev/null", "", "--server="+p.URL(), "--certificate-authority="+p.layout.path("ca.crt"),
		"--token="+token, "auth", "whoami", "--output=jsonpath={.status.userInfo.username}")
	if want := "system:serviceaccount:tenants:default"; err != nil || out != want {
		t.Errorf("the token's user is %q, %v: want %q", out, err, want)
	}
}

func checkAuthorization(t *testing.T, p *Plane) {
	body, err := p.Kubeconfig("system:node:it's", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "node.kubeconfig")
	if err := os.WriteFile(config, body, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := kubectl(t, p, config, "", "auth", "whoami")
	if err != nil || !strings.Contains(out, "system:node:it's") || !strings.Contains(out, "system:nodes") {
		t.Errorf("the user is %q, %v", out, err)
	}
	if out, err := kubectl(t, p, config, "", "get", "services"); err != nil {
		t.Errorf("a node may not read Services: %v: %s", err, out)
	}
	if out, err := kubectl(t, p, config, "", "get", "secrets", "--all-namespaces"); err == nil || !strings.Contains(out, "Forbidden") {
		t.Errorf("a node may list all Secrets: %v: %s", err, out)
	}
}

func checkService(t *testing.T, p *Plane) {
	admin(t, p, "create", "service", "clusterip", "web", "--tcp=443:8443")
	out := admin(t, p, "get", "service", "web", "--output=jsonpath={.spec.clusterIP}")
	address, err := netip.ParseAddr(out)
	if err != nil || !netip.MustParsePrefix(ServiceRange).Contains(address) {
		t.Errorf("cluster IP %q, %v: want one of %s", out, err, ServiceRange)
	}
}

func checkPodSecurity(t *testing.T, p *Plane) {
	admin(t, p, "label", "namespace", "tenants", "pod-security.kubernetes.io/enforce=restricted")
	out, err := kubectl(t, p, p.AdminKubeconfig(), "", "--namespace=tenants", "run", "root", "--image=none")
	if err == nil || !strings.Contains(out, `violates PodSecurity "restricted:`) {
		t.Errorf("a pod that is not restricted gives %v: %s", err, out)
	}
}

// checkAggregation registers a server on a loopback address as an API by an
// ExternalName Service.
func checkAggregation(t *testing.T, p *Plane) {
	users := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/apis/stock.example.org/v1/things" {
			fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"stock.example.org/v1","resources":[]}`)
			return
		}
		select {
		case users <- r.Header.Get("X-Remote-User") + " through " + r.TLS.PeerCertificates[0].Subject.CommonName:
		default:
		}
		fmt.Fprint(w, `{"answer":"from the extension"}`)
	}))
	serve(t, p, server)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	out, err := kubectl(t, p, p.AdminKubeconfig(), `
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: default}
spec: {type: ExternalName, externalName: localhost, ports: [{port: `+port+`}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.stock.example.org}
spec:
  group: stock.example.org
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {name: stock, namespace: default, port: `+port+`}
  caBundle: `+base64.StdEncoding.EncodeToString(p.CA())+`
`, "apply", "--server-side", "--filename=-")
	if err != nil {
		t.Fatalf("register the API: %v: %s", err, out)
	}
	eventually(t, p, "from the extension", "get", "--raw", "/apis/stock.example.org/v1/things")
	if got, want := <-users, "bailiwick-admin through front-proxy-client"; got != want {
		t.Errorf("the extension sees %q, want %q", got, want)
	}
	admin(t, p, "delete", "apiservice", "v1.stock.example.org")
}

// serve starts the server with a certificate of the plane for the name that the
// API server expects, and with the plane's front proxy as the only client.
func serve(t *testing.T, p *Plane, server *httptest.Server) {
	certificate, key, err := p.ServingCertificate("stock", "stock.default.svc")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	proxies := x509.NewCertPool()
	proxies.AddCert(p.trust.frontProxy.parsed)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: proxies, ClientAuth: tls.VerifyClientCertIfGiven}
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
}

func TestPlanesLiveSideBySide(t *testing.T) {
	t.Parallel()
	type result struct {
		plane *Plane
		err   error
	}
	if testing.Short() {
		t.Skip("starts control planes")
	}
	addresses := []string{"127.0.0.1", "127.0.0.1", "127.0.0.2"}
	results := make(chan result)
	for _, address := range addresses {
		go func() {
			p, err := Start(t.Context(), Options{Address: address, APIServerOnly: true, Progress: io.Discard})
			results <- result{p, err}
		}()
	}
	var planes []*Plane
	for range addresses {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		planes = append(planes, r.plane)
		t.Cleanup(func() {
			if err := r.plane.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	if t.Failed() {
		t.FailNow()
	}
	for i, p := range planes {
		admin(t, p, "create", "namespace", fmt.Sprintf("only-in-%d", i))
	}
	for i, p := range planes {
		want := fmt.Sprintf("namespace/only-in-%d", i)
		if out := admin(t, p, "get", "namespaces", "--output=name"); !strings.Contains(out, want) || strings.Count(out, "only-in-") != 1 {
			t.Errorf("plane %d has the namespaces %q, want %q and no other's", i, out, want)
		}
	}
	foreign := planes[1].layout.path("front-proxy-client")
	out, err := kubectl(t, planes[0], "/dev/null", "", "--server="+planes[0].URL(), "--certificate-authority="+planes[0].layout.path("ca.crt"),
		"--client-certificate="+foreign+".crt", "--client-key="+foreign+".key", "get", "namespaces")
	if err == nil || !strings.Contains(out, "You must be logged in") {
		t.Errorf("a certificate of another plane gives %v: %s", err, out)
	}
}

func TestFailureOfAComponentIsNoticed(t *testing.T) {
	t.Parallel()
	p := startPlane(t, Options{APIServerOnly: true})
	if err := p.Err(); err != nil {
		t.Fatalf("a plane that runs has failed: %v", err)
	}
	if len(p.running) != 2 {
		t.Errorf("%d components run, want etcd and the API server", len(p.running))
	}
	if err := p.running[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Failed():
	case <-time.After(patience):
		t.Fatal("nobody noticed that etcd was killed")
	}
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "etcd ended: signal: killed") {
		t.Errorf("error %v does not say that etcd was killed", err)
	}
	if err := errors.Join(p.Stop(), p.Stop()); err != nil {
		t.Errorf("stop after a failure: %v", err)
	}
}
