package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/cloud"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
	"github.com/bailiwick-dev/bailiwick/controllers/region"
	"github.com/bailiwick-dev/bailiwick/controllers/sensitivitylabel"
	"github.com/bailiwick-dev/bailiwick/controllers/sharedmailbox"
	"github.com/bailiwick-dev/bailiwick/controllers/tenant"
)

// +kubebuilder:rbac:groups="",namespace=system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=system,resources=leases,verbs=create;get;update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// leaseName is the name of the Lease by which replicas choose their leader.
const leaseName = "operator.bailiwick.dev"

// syncCheckTimeout bounds how long a readiness probe waits for the caches.
const syncCheckTimeout = time.Second

// Options say where the operator runs and what it serves.
type Options struct {
	// Config reaches the API server.
	Config *rest.Config
	// Namespace is the operator's own: the Lease and the clouds' authorities are
	// there.
	Namespace string
	// Image of the sync pods.
	Image string
	// LeaderElection lets one of several replicas work at a time.
	LeaderElection bool
	// DeniedRanges are the cluster's own address ranges (pods, services, nodes).
	// Nothing that a user names is fetched from there. The address of the API server
	// is added to them.
	DeniedRanges []netip.Prefix
	// MetricsAddress and HealthAddress are listened on; "0" is off.
	MetricsAddress, HealthAddress string
	// Log takes the log.
	Log logr.Logger
}

func (o Options) validate() error {
	switch {
	case o.Config == nil:
		return errors.New("no API server: run in a cluster, or name a kubeconfig with --kubeconfig")
	case o.Namespace == "":
		return errors.New("namespace is empty: set --namespace, or POD_NAMESPACE")
	case o.Image == "":
		return errors.New("image is empty: set --image, or BAILIWICK_IMAGE, to the image of the sync pods")
	}
	return nil
}

// Run works until ctx ends. It fails when the options are incomplete, when the API
// server cannot be reached or lacks the custom resources, and when leadership is
// lost; the process must end then.
func Run(ctx context.Context, o Options) error {
	mgr, err := New(o) //nolint:contextcheck // indexes are added before anything runs, there is nothing to cancel
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run operator: %w", err)
	}
	return nil
}

// New assembles the manager without starting it.
func New(o Options) (manager.Manager, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	options, err := managerOptions(o)
	if err != nil {
		return nil, err
	}
	return assemble(o, options)
}

func managerOptions(o Options) (manager.Options, error) {
	scheme, err := NewScheme()
	if err != nil {
		return manager.Options{}, err
	}
	return manager.Options{
		Scheme:                        scheme,
		Logger:                        o.Log,
		Cache:                         CacheOptions(),
		Client:                        ClientOptions(),
		LeaderElection:                o.LeaderElection,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.HealthAddress,
	}, nil
}

func assemble(o Options, options manager.Options) (manager.Manager, error) {
	mgr, err := manager.New(o.Config, options)
	if err != nil {
		return nil, fmt.Errorf("assemble operator: %w", err)
	}
	if err := errors.Join(addControllers(mgr, o), addChecks(mgr), addConditionMetric(mgr)); err != nil {
		return nil, err
	}
	return mgr, nil
}

func addControllers(mgr manager.Manager, o Options) error {
	return errors.Join(
		cloud.Add(mgr, cloud.Options{Namespace: o.Namespace}),
		region.Add(mgr, region.Options{Namespace: o.Namespace, Image: o.Image}),
		tenant.Add(mgr, tenant.Options{DeniedRanges: deniedRanges(o)}),
		sharedmailbox.Add(mgr, sharedmailbox.Options{}),
		sensitivitylabel.Add(mgr, sensitivitylabel.Options{}),
	)
}

// deniedRanges are those of the options and the API server, when it is named by its
// address, as it is within a cluster.
func deniedRanges(o Options) []netip.Prefix {
	denied := slices.Clone(o.DeniedRanges)
	server, err := url.Parse(o.Config.Host)
	if err != nil {
		return denied
	}
	address, err := netip.ParseAddr(server.Hostname())
	if err != nil {
		return denied
	}
	return append(denied, netip.PrefixFrom(address, address.BitLen()))
}

// NewScheme gives the kinds that the operator knows.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("make scheme: %w", err)
		}
	}
	return scheme, nil
}

// CacheOptions keep in memory what is ours and nothing else: of the kinds that
// everybody uses only objects with our label, and no managed fields, which are read
// from the API server in the rare case that they are needed.
func CacheOptions() cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{apply.LabelManagedBy: apply.ManagedBy})}
	byObject := map[client.Object]cache.ByObject{}
	for _, obj := range []client.Object{
		&appsv1.Deployment{}, &appsv1.StatefulSet{},
		&autoscalingv2.HorizontalPodAutoscaler{},
		&corev1.ConfigMap{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}, &corev1.Secret{}, &corev1.Service{}, &corev1.ServiceAccount{},
		&networkingv1.NetworkPolicy{},
		&policyv1.PodDisruptionBudget{},
		&rbacv1.Role{}, &rbacv1.RoleBinding{},
	} {
		byObject[obj] = ours
	}
	return cache.Options{ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields()}
}

// ClientOptions let a reconcile read what it wrote before: a read from the cache
// waits until the cache has seen this process' own writes.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}}
}

// addChecks serves /healthz, which says that the process runs, and /readyz, which
// waits for the caches.
func addChecks(mgr manager.Manager) error {
	synced := func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), syncCheckTimeout)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("caches are not synced yet")
		}
		return nil
	}
	return errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", synced))
}

// addConditionMetric serves the conditions of every kind as a metric while the
// manager runs.
func addConditionMetric(mgr manager.Manager) error {
	collector := conditions.NewCollector(mgr.GetCache(), cloud.Conditions(), region.Conditions(), tenant.Conditions(),
		sharedmailbox.Conditions(), sensitivitylabel.Conditions())
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if err := metrics.Registry.Register(collector); err != nil {
			return fmt.Errorf("register conditions metric: %w", err)
		}
		<-ctx.Done()
		metrics.Registry.Unregister(collector)
		return nil
	}))
}
