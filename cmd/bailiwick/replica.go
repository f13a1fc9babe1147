package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
	"github.com/bailiwick-dev/bailiwick/sync/access"
	"github.com/bailiwick-dev/bailiwick/sync/control"
	"github.com/bailiwick-dev/bailiwick/sync/identity"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/push"
	"github.com/bailiwick-dev/bailiwick/sync/server"
	"github.com/bailiwick-dev/bailiwick/sync/server/slots"
	"github.com/bailiwick-dev/bailiwick/sync/shared"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// collectInterval is how often what nothing refers to is removed from the store.
const collectInterval = time.Hour

// replica is one sync server with all its parts.
type replica struct {
	flags     *syncFlags
	logger    *slog.Logger
	registry  *prometheus.Registry
	documents *tenants.Set
	verifier  *identity.Verifier
	reporter  *tenants.Reporter
	engine    store.Engine
	// parts tell of each part of the store whether it can be used.
	parts    parts
	found    storeState
	mail     *mail.Service
	push     *push.Service
	outbound *outbound
	certs    *server.Certificates
	server   *server.Server
	// follow keeps the documents up to date until its context ends.
	follow func(ctx context.Context) error
}

// runReplica serves a region until the context ends and its requests are drained.
func runReplica(ctx context.Context, f *syncFlags, logger *slog.Logger) (err error) {
	r := &replica{
		flags:     f,
		logger:    logger,
		registry:  newRegistry(f),
		documents: tenants.NewSet(tenants.Scope{Region: f.region, Cloud: f.cloud}, logger),
	}
	r.verifier = identity.NewVerifier(identity.Options{Changed: r.keysChanged, DeniedRanges: apiServerRange(os.Getenv)})
	defer r.verifier.Close()
	if r.certs, err = server.NewCertificates(ctx, server.CertificateOptions{
		Dir: f.tlsDir, Hostname: f.hostname(), Logger: logger, Metrics: r.registry,
	}); err != nil {
		return err
	}
	engine, err := r.awaitStore(ctx, r.openStore)
	if engine == nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	endpoints, err := r.fill(ctx, engine)
	if err != nil {
		return err
	}
	defer endpoints.Close()
	if err := r.assemble(); err != nil {
		return err
	}
	return r.run(ctx)
}

// apiServerRange is the address of the cluster's API server, from which no keys are
// fetched whatever private ranges a cloud names; empty outside a cluster.
func apiServerRange(getenv func(string) string) []netip.Prefix {
	address, err := netip.ParseAddr(getenv("KUBERNETES_SERVICE_HOST"))
	if err != nil {
		return nil
	}
	return []netip.Prefix{netip.PrefixFrom(address, address.BitLen())}
}

// fill makes what works on the store. What is returned must be closed in the end.
func (r *replica) fill(ctx context.Context, engine store.Engine) (endpoints *egress.Poster, err error) {
	if r.outbound, err = r.openOutbound(ctx); err != nil {
		return nil, err
	}
	trust := &smimeTrust{documents: r.documents, logger: r.logger}
	if r.mail, err = mail.New(engine, mail.Options{
		Owner: r.flags.owner(), Shared: r.flags.shared(),
		Trust: trust.of, Colleague: trust.colleague, Outgoing: trust.outgoing, Labels: r.labels, Audit: label.LogAudit{Log: r.logger},
		Homes: homes{r.documents}, Transport: r.outbound.way(), Hostname: r.flags.hostname(), Logger: r.logger,
		Quota: mail.DefaultQuota(),
	}); err != nil {
		return nil, err
	}
	return r.newPush(ctx, engine)
}

func (r *replica) assemble() (err error) {
	minimumTLS, err := r.flags.tlsVersion()
	if err != nil {
		return err
	}
	gate := access.New(r.documents, access.Options{
		Verifier:    r.verifier,
		MetadataURL: r.flags.url + server.PathMetadata,
		Log:         r.logger,
	})
	r.server, err = server.New(server.Options{
		BaseURL:              r.flags.url,
		Capabilities:         r.capabilities(),
		CoreMethods:          r.push.Methods(),
		Gate:                 gate,
		Blobs:                r.mail,
		States:               r.mail,
		Accounts:             r.mail,
		Watch:                r.documents.Watch,
		Shares:               r.mail,
		AuthorizationServers: r.issuers,
		Checks:               []server.Check{{Name: "documents", Ready: r.documentsReady}, {Name: "store", Ready: r.storeReady}},
		Certificates:         r.certs,
		MinimumTLS:           minimumTLS,
		Load: server.LoadLimits{
			Slots:                 slots.Options{Slots: int(r.flags.requestSlots)},
			ConnectionsPerAddress: int(r.flags.addressConnections),
		},
		DrainDelay:      r.flags.drainDelay,
		ShutdownTimeout: r.flags.drainTimeout,
		Logger:          r.logger,
		Metrics:         r.registry,
	})
	return err
}

// capabilities are what the replica offers beside JMAP Core.
func (r *replica) capabilities() []jmap.Capability {
	list := []jmap.Capability{
		r.mail.Capability(), r.mail.BlobCapability(), r.mail.SubmissionCapability(), r.mail.VacationCapability(), r.mail.LabelCapability(), r.push.Capability(),
		r.mail.QuotaCapability(),
	}
	list = append(list, r.mail.PrincipalsCapabilities()...)
	return append(list, r.mail.SMIMECapabilities()...)
}

// findDocuments chooses where documents come from, and where reports go.
func (r *replica) findDocuments() (err error) {
	if r.flags.documentsDir == "" {
		r.follow, r.reporter, err = r.fromCluster(r.count)
		return err
	}
	folder, err := tenants.OpenFolder(r.flags.documentsDir, r.documents, r.logger)
	if err != nil {
		return fmt.Errorf("--documents-dir: %w", err)
	}
	r.follow = folder.Run
	return nil
}

// fromCluster gives what follows the documents of the region's namespace, and what
// reports to it.
func (r *replica) fromCluster(count func(context.Context) (tenants.Counts, error)) (follow func(context.Context) error, reporter *tenants.Reporter, err error) {
	cfg, err := tenants.ServiceAccountConfig(r.flags.serviceAccountDir, os.Getenv)
	if err != nil {
		return nil, nil, fmt.Errorf("--service-account-dir: %w", err)
	}
	client, err := tenants.ConfigMaps(cfg, r.flags.documentsNamespace)
	if err != nil {
		return nil, nil, fmt.Errorf("--documents-namespace: %w", err)
	}
	follow = func(ctx context.Context) error {
		tenants.Follow(ctx, client, r.flags.regionName(), r.documents, r.logger)
		return nil
	}
	return follow, tenants.NewReporter(tenants.ReporterOptions{
		ConfigMaps: client,
		Replica:    r.flags.replica,
		Version:    version,
		Set:        r.documents,
		Count:      count,
		KeysError:  r.verifier.KeysError,
		Storage:    r.found.cells,
		Log:        r.logger,
	}), nil
}

// run serves until the context ends or a part fails, then drains. The parts beside
// the server go on until it has drained.
func (r *replica) run(ctx context.Context) error {
	listeners, err := r.listen(ctx)
	if err != nil {
		return err
	}
	incoming, err := r.openIncoming(ctx, r.mail)
	if err != nil {
		return errors.Join(err, listeners.close())
	}
	if err := r.findDocuments(); err != nil {
		return errors.Join(err, listeners.close(), incoming.close())
	}
	parts, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	defer stopParts()
	ctx, stopServing := context.WithCancel(ctx)
	defer stopServing()
	var group errgroup.Group
	part := func(run func(ctx context.Context) error) {
		group.Go(func() error {
			// When a part ends, so does the server: half a replica must not go on.
			defer stopServing()
			return run(parts)
		})
	}
	part(r.follow)
	part(r.certs.Watch)
	part(r.collect)
	part(r.watchStore)
	part(r.provisionShared)
	part(r.send)
	part(r.push.Run)
	part(r.outbound.run)
	for _, port := range incoming.ports {
		// Unlike the parts, ports for mail end when the server begins to drain: they drain beside it.
		group.Go(func() error {
			defer stopServing()
			return incoming.serve(ctx, port, r.documents.Listed())
		})
	}
	if listeners.control != nil {
		part(func(ctx context.Context) error { return control.Serve(ctx, listeners.control, r.control()) })
	}
	if r.reporter != nil {
		part(func(ctx context.Context) error { r.reporter.Run(ctx); return nil })
	}
	if listeners.metrics != nil {
		part(func(ctx context.Context) error {
			return server.ServeMetrics(ctx, listeners.metrics, r.registry, r.logger)
		})
	}
	r.logger.Info("serving", slog.String("version", version), slog.String("region", r.flags.region), slog.String("cloud", r.flags.cloud),
		slog.String("geography", r.flags.geography), slog.String("address", listeners.https.Addr().String()))
	err = r.server.Serve(ctx, listeners.https)
	stopParts()
	return errors.Join(err, group.Wait())
}

// listeners are the open ports of a replica.
type listeners struct {
	https, metrics, control net.Listener
}

func (l listeners) close() error {
	err := l.https.Close()
	for _, other := range []net.Listener{l.metrics, l.control} {
		if other != nil {
			err = errors.Join(err, other.Close())
		}
	}
	return err
}

func (r *replica) listen(ctx context.Context) (listeners, error) {
	var config net.ListenConfig
	var l listeners
	var err error
	if l.https, err = config.Listen(ctx, "tcp", r.endpoint(r.flags.port)); err != nil {
		return l, fmt.Errorf("--address, --port: %w", err)
	}
	if r.flags.metricsPort != 0 {
		if l.metrics, err = config.Listen(ctx, "tcp", r.endpoint(r.flags.metricsPort)); err != nil {
			return l, errors.Join(fmt.Errorf("--address, --metrics-port: %w", err), l.close())
		}
	}
	if r.flags.controlSocket != "" {
		if l.control, err = control.Listen(ctx, r.flags.controlSocket); err != nil {
			return l, errors.Join(fmt.Errorf("--control-socket: %w", err), l.close())
		}
	}
	return l, nil
}

func (r *replica) endpoint(port uint16) string {
	return net.JoinHostPort(r.flags.address, strconv.Itoa(int(port)))
}

// collect removes what nothing refers to, now and then.
func (r *replica) collect(ctx context.Context) error {
	tick := time.NewTicker(collectInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := r.mail.Collect(ctx); err != nil {
				r.logger.Error("removing unused blobs failed", slog.Any("error", err))
			}
		}
	}
}

// labels are the sensitivity labels of a tenant.
func (r *replica) labels(tenant string) *label.Set {
	return label.Of(r.documents.ByTenant(tenant))
}

// provisionShared makes the shared mailboxes of the region complete.
func (r *replica) provisionShared(ctx context.Context) error {
	shared.New(shared.Options{Set: r.documents, Accounts: r.mail, Log: r.logger}).Run(ctx)
	return nil
}

// send sends what is in the outbox, from when it is known which domains are homed here.
func (r *replica) send(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-r.documents.Listed():
		return r.mail.RunOutbox(ctx)
	}
}

// keysChanged has a changed state of issuers' keys reported.
func (r *replica) keysChanged() {
	if r.reporter != nil {
		r.reporter.Notify()
	}
}

// issuers are the issuers that the tenants of the region trust.
func (r *replica) issuers() []string {
	var issuers []string
	for _, status := range r.documents.Statuses() {
		if status.Document == nil || status.Document.Suspended {
			continue
		}
		for i := range status.Document.Issuers {
			issuers = append(issuers, status.Document.Issuers[i].Issuer)
		}
	}
	return issuers
}

func (r *replica) documentsReady(context.Context) error {
	if !r.documents.Ready() {
		return errors.New("the first list of tenant documents was not read yet")
	}
	return nil
}

// storeReady tells whether the store can be used at the moment.
func (r *replica) storeReady(ctx context.Context) error { return store.Ready(ctx, r.engine) }

// newRegistry makes the registry of a replica, with what it runs and how it fares.
func newRegistry(f *syncFlags) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "bailiwick_sync_info",
		Help:        "What this replica runs and serves; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "region": f.region, "cloud": f.cloud, "geography": f.geography},
	})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
