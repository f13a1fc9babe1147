package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// mastersGroup is the group that RBAC lets do everything.
const mastersGroup = "system:masters"

// adminFile is the administrator's kubeconfig in the data folder.
const adminFile = "admin.kubeconfig"

// Defaults of [Options].
const (
	defaultAddress      = "127.0.0.1"
	defaultReadyTimeout = 2 * time.Minute
	defaultGrace        = 5 * time.Second
)

// Options says what to start. The zero value starts a whole plane on 127.0.0.1
// with binaries from [Assets].
type Options struct {
	// Address is the loopback IPv4 address that all components listen on.
	Address string
	// APIServerOnly starts etcd and kube-apiserver alone: objects are stored,
	// checked and watched, but nothing acts on them. Tests of an API start
	// faster with it.
	APIServerOnly bool
	// Assets is a folder with the binaries; empty means [Assets].
	Assets string
	// Parent is the folder in which the data folder is made; empty means
	// [os.TempDir].
	Parent string
	// APIServerFlags are further flags of kube-apiserver, as "--name=value".
	APIServerFlags []string
	// Progress gets a line when a component is ready, and those of [Assets];
	// nil means none.
	Progress io.Writer
	// ReadyTimeout limits the time that each component may take to become ready;
	// 0 means two minutes.
	ReadyTimeout time.Duration
	// Grace is the time between asking a component to end and killing it; 0
	// means five seconds.
	Grace time.Duration
}

// Plane is a running control plane.
type Plane struct {
	options  Options
	layout   layout
	trust    *authorities
	owner    *os.File
	reserved []port
	// running are the components in the order of their start.
	running []*process

	stopOnce sync.Once
	stopErr  error
	stopping chan struct{}
	watchers sync.WaitGroup
	failOnce sync.Once
	failed   chan struct{}
	failure  error
}

// Start starts a plane and returns when it is ready: the API server answers,
// and, unless [Options.APIServerOnly] is set, the controllers run and the
// namespace "default" has its service account. The context limits the start; the
// plane itself lives until [Plane.Stop] or the end of this process. When a
// component fails, the error quotes its log and nothing is left behind.
func Start(ctx context.Context, o Options) (*Plane, error) {
	o, err := o.complete(ctx)
	if err != nil {
		return nil, err
	}
	trust, err := newAuthorities()
	if err != nil {
		return nil, err
	}
	p := &Plane{options: o, trust: trust, stopping: make(chan struct{}), failed: make(chan struct{})}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the control plane: %w", err), p.Stop())
	}
	return p, nil
}

// complete checks the options and fills in the defaults.
func (o Options) complete(ctx context.Context) (Options, error) {
	if o.Address == "" {
		o.Address = defaultAddress
	}
	if ip := net.ParseIP(o.Address); ip == nil || ip.To4() == nil || !ip.IsLoopback() {
		return o, fmt.Errorf("address %q: give an IPv4 address of the loopback network 127.0.0.0/8", o.Address)
	}
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = defaultReadyTimeout
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	var err error
	if o.Assets == "" {
		o.Assets, err = Assets(ctx, o.Progress)
	} else {
		o.Assets, err = filepath.Abs(o.Assets)
	}
	return o, err
}

func (p *Plane) start(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return err
	}
	etcd, err := p.trust.etcd.client("readiness")
	if err != nil {
		return err
	}
	etcdClient, err := newClient(p.trust.etcd, etcd)
	if err != nil {
		return err
	}
	admin, err := p.trust.cluster.client("bailiwick-readiness", mastersGroup)
	if err != nil {
		return err
	}
	client, err := newClient(p.trust.cluster, admin)
	if err != nil {
		return err
	}
	if err := p.launch(ctx, etcdClient, etcdName); err != nil {
		return err
	}
	if err := p.launch(ctx, client, apiServerName); err != nil {
		return err
	}
	namespace := p.URL() + "/api/v1/namespaces/default"
	if p.options.APIServerOnly {
		return p.await(ctx, client, namespace, apiServerName)
	}
	if err := p.launch(ctx, client, controllerManagerName, schedulerName); err != nil {
		return err
	}
	return p.await(ctx, client, namespace+"/serviceaccounts/default", controllerManagerName)
}

// prepare makes the data folder and reserves the ports.
func (p *Plane) prepare() error {
	dir, owner, err := newFolder(p.options.Parent)
	if err != nil {
		return err
	}
	p.owner = owner
	p.layout = layout{dir: dir, address: p.options.Address, ports: make(map[string]int)}
	for _, name := range []string{etcdName, etcdPeer, apiServerName, controllerManagerName, schedulerName} {
		reserved, err := reservePort(net.ParseIP(p.options.Address))
		if err != nil {
			return err
		}
		p.reserved = append(p.reserved, reserved)
		p.layout.ports[name] = reserved.number
	}
	return p.writeFiles()
}

// launch starts the components at once and waits until they are ready.
func (p *Plane) launch(ctx context.Context, client *http.Client, components ...string) error {
	begin := time.Now()
	for _, name := range components {
		args, err := p.layout.arguments(name, p.options)
		if err != nil {
			return err
		}
		started, err := startProcess(p.layout.dir, p.Binary(name), p.layout.path(name+".log"), args)
		if err != nil {
			return err
		}
		p.running = append(p.running, started)
		p.watchers.Add(1)
		go p.watch(started)
	}
	for _, name := range components {
		if err := p.await(ctx, client, p.layout.healthURL(name), name); err != nil {
			return err
		}
		newProgress(p.options.Progress).sayf("%s is ready after %s", name, time.Since(begin).Round(10*time.Millisecond))
	}
	return nil
}

// await waits until the URL answers, which the named component must bring about.
func (p *Plane) await(ctx context.Context, client *http.Client, url, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.options.ReadyTimeout, errNotReady)
	defer cancel()
	for _, candidate := range p.running {
		if candidate.name == name {
			return await(ctx, client, url, candidate)
		}
	}
	return fmt.Errorf("component %q was not started", name)
}

// watch notices when a component ends before the plane is stopped.
func (p *Plane) watch(component *process) {
	defer p.watchers.Done()
	select {
	case <-p.stopping:
	case <-component.exited:
		p.failOnce.Do(func() {
			p.failure = component.failure()
			close(p.failed)
		})
	}
}

// Failed is closed when a component ends although nobody stopped the plane;
// [Plane.Err] then says why.
func (p *Plane) Failed() <-chan struct{} { return p.failed }

// Err returns the unexpected end of a component, with the end of its log, or nil.
func (p *Plane) Err() error {
	select {
	case <-p.failed:
		return p.failure
	default:
		return nil
	}
}

// Stop ends the components in the reverse order of their start, the controller
// manager and the scheduler together, and removes the data folder. A component
// that does not end within [Options.Grace] is killed. Further calls return what
// the first did.
func (p *Plane) Stop() error {
	p.stopOnce.Do(func() { p.stopErr = p.stop() })
	return p.stopErr
}

func (p *Plane) stop() error {
	close(p.stopping)
	p.watchers.Wait()
	var errs []error
	clients := p.running[min(2, len(p.running)):]
	servers := p.running[:len(p.running)-len(clients)]
	errs = append(errs, stop(p.options.Grace, clients...))
	for _, server := range slices.Backward(servers) {
		errs = append(errs, stop(p.options.Grace, server))
	}
	for _, reserved := range p.reserved {
		errs = append(errs, reserved.release())
	}
	if p.owner != nil {
		errs = append(errs, os.RemoveAll(p.layout.dir), p.owner.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the control plane: %w", err)
	}
	return nil
}

// URL is where the API server answers.
func (p *Plane) URL() string { return p.layout.url(apiServerName) }

// CA is the certificate, in PEM, that signed the API server's and that the API
// server trusts for clients, nodes among them.
func (p *Plane) CA() []byte { return p.trust.cluster.certificate }

// AdminKubeconfig is the path of a kubeconfig that may do everything. The file
// goes with the plane.
func (p *Plane) AdminKubeconfig() string { return p.layout.path(adminFile) }

// Kubeconfig issues a client certificate for the user as a member of the groups
// and returns a self-contained kubeconfig, for example for the node user
// "system:node:local" of the group "system:nodes", or to see what RBAC allows.
func (p *Plane) Kubeconfig(user string, groups ...string) ([]byte, error) {
	pair, err := p.trust.cluster.client(user, groups...)
	if err != nil {
		return nil, err
	}
	return kubeconfig(p.URL(), user, p.CA(), pair), nil
}

// ServingCertificate issues a certificate and its key, both in PEM, that clients
// which trust [Plane.CA] accept for the hosts: names or IP addresses. The API
// server accepts it of a node or a webhook.
func (p *Plane) ServingCertificate(name string, hosts ...string) (certificate, key []byte, err error) {
	pair, err := p.trust.cluster.server(name, hosts...)
	return pair.certificate, pair.key, err
}

// Binary is the path of a binary of the plane, such as "kubectl".
func (p *Plane) Binary(name string) string { return filepath.Join(p.options.Assets, name) }

// Log is the path of a component's log. The file goes with the plane.
func (p *Plane) Log(component string) string { return p.layout.path(component + ".log") }

// Assets is the folder of the plane's binaries, as KUBEBUILDER_ASSETS wants it.
func (p *Plane) Assets() string { return p.options.Assets }
