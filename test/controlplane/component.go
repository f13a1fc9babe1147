package controlplane

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// ServiceRange is the range of the cluster IPs of Services. It lies in the
// loopback network, so that a node's forwarder can listen on a Service's cluster
// IP as kube-proxy would answer on it, and no packet leaves the machine. Nodes
// give pods addresses outside of it.
const ServiceRange = "127.96.0.0/16"

// serviceAddress is the cluster IP of the Service "kubernetes", the first of
// [ServiceRange].
const serviceAddress = "127.96.0.1"

// issuer is the issuer of service account tokens.
const issuer = "https://kubernetes.default.svc.cluster.local"

// Names of the components and of their logs.
const (
	etcdName              = "etcd"
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
	schedulerName         = "kube-scheduler"
)

// layout is where a plane's components listen and find their files.
type layout struct {
	dir     string
	address string
	ports   map[string]int
}

// etcdPeer is the port on which etcd would talk to other members.
const etcdPeer = "etcd-peer"

func (l layout) url(component string) string {
	return "https://" + l.address + ":" + strconv.Itoa(l.ports[component])
}

// path names a file of the data folder.
func (l layout) path(name string) string { return filepath.Join(l.dir, name) }

// healthURL answers 200 when the component is ready.
func (l layout) healthURL(component string) string {
	switch component {
	case etcdName, apiServerName:
		return l.url(component) + "/readyz"
	default:
		return l.url(component) + "/healthz"
	}
}

func (l layout) etcdArguments() []string {
	client, peer := l.url(etcdName), l.url(etcdPeer)
	return []string{
		"--name=bailiwick",
		"--data-dir=" + l.path("etcd"),
		"--unsafe-no-fsync",
		"--log-level=warn",
		"--socket-reuse-port",
		// A member without peers elects itself; it need not wait a second for it.
		"--heartbeat-interval=10",
		"--election-timeout=100",
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--client-cert-auth",
		"--trusted-ca-file=" + l.path("etcd-ca.crt"),
		"--cert-file=" + l.path("etcd.crt"),
		"--key-file=" + l.path("etcd.key"),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=bailiwick=" + peer,
		"--peer-client-cert-auth",
		"--peer-trusted-ca-file=" + l.path("etcd-ca.crt"),
		"--peer-cert-file=" + l.path("etcd.crt"),
		"--peer-key-file=" + l.path("etcd.key"),
	}
}

// apiServerArguments configures the API server as a cluster would be, with two
// differences: nothing reconciles the endpoints of the Service "kubernetes",
// which may not be loopback addresses, and a node is dialled by IP address.
func (l layout) apiServerArguments(o Options) []string {
	args := []string{
		"--etcd-servers=" + l.url(etcdName),
		"--etcd-cafile=" + l.path("etcd-ca.crt"),
		"--etcd-certfile=" + l.path("etcd-client.crt"),
		"--etcd-keyfile=" + l.path("etcd-client.key"),
		"--bind-address=" + l.address,
		"--advertise-address=" + l.address,
		"--secure-port=" + strconv.Itoa(l.ports[apiServerName]),
		"--permit-port-sharing",
		"--tls-cert-file=" + l.path("apiserver.crt"),
		"--tls-private-key-file=" + l.path("apiserver.key"),
		"--client-ca-file=" + l.path("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + l.path("service-accounts.key"),
		"--service-account-signing-key-file=" + l.path("service-accounts.key"),
		"--service-cluster-ip-range=" + ServiceRange,
		"--endpoint-reconciler-type=none",
		"--kubelet-client-certificate=" + l.path("kubelet-client.crt"),
		"--kubelet-client-key=" + l.path("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + l.path("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + l.path("front-proxy-client.crt"),
		"--proxy-client-key-file=" + l.path("front-proxy-client.key"),
		"--profiling=false",
	}
	if o.APIServerOnly {
		// Without controllers no namespace gets the service account that this
		// admission plugin demands of each pod.
		args = append(args, "--disable-admission-plugins=ServiceAccount")
	}
	return append(args, o.APIServerFlags...)
}

// controllersOff are the controllers that would write endpoints, which refuse
// loopback addresses, or that belong to a network or a cloud.
const controllersOff = "-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller,-node-ipam-controller"

func (l layout) controllerManagerArguments() []string {
	return append(l.clientArguments(controllerManagerName),
		"--controllers=*,"+controllersOff,
		"--use-service-account-credentials",
		"--root-ca-file="+l.path("ca.crt"),
		"--service-account-private-key-file="+l.path("service-accounts.key"),
		"--cluster-signing-cert-file="+l.path("ca.crt"),
		"--cluster-signing-key-file="+l.path("ca.key"),
	)
}

func (l layout) schedulerArguments() []string { return l.clientArguments(schedulerName) }

// clientArguments are what the controller manager and the scheduler share. They
// are the only ones of their kind in a plane: no election, and no throttle, which
// protects an API server from many.
func (l layout) clientArguments(component string) []string {
	config := l.path(component + ".kubeconfig")
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--bind-address=" + l.address,
		"--secure-port=" + strconv.Itoa(l.ports[component]),
		"--permit-port-sharing",
		"--tls-cert-file=" + l.path(component+".crt"),
		"--tls-private-key-file=" + l.path(component+".key"),
		"--leader-elect=false",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}
}

func (l layout) arguments(component string, o Options) ([]string, error) {
	switch component {
	case etcdName:
		return l.etcdArguments(), nil
	case apiServerName:
		return l.apiServerArguments(o), nil
	case controllerManagerName:
		return l.controllerManagerArguments(), nil
	case schedulerName:
		return l.schedulerArguments(), nil
	default:
		return nil, fmt.Errorf("component %q is unknown", component)
	}
}
