package plugin

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// cluster is what is asked of a cluster.
type cluster struct {
	// reader reads the objects of Bailiwick; others it is given as unstructured ones.
	reader client.Reader
	// metadata writes annotations, and can write nothing else.
	metadata metadata.Interface
	// discovery tells the release of the API server.
	discovery discovery.ServerVersionInterface
}

// dial reaches the cluster that the flags choose. Nothing is asked of it yet.
func (p *plugin) dial() (*cluster, error) {
	config, err := p.flags.ToRESTConfig()
	if err != nil {
		return nil, unusable(err)
	}
	config.UserAgent = "kubectl-bailiwick/" + p.version
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("know the kinds of Bailiwick: %w", err)
	}
	c := &cluster{}
	if c.reader, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, unusable(err)
	}
	if c.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, unusable(err)
	}
	if c.discovery, err = discovery.NewDiscoveryClientForConfig(config); err != nil {
		return nil, unusable(err)
	}
	return c, nil
}

// unusable is the error of a kubeconfig that names no cluster to ask.
func unusable(err error) error {
	return fmt.Errorf("read kubeconfig: %w: choose a context of `kubectl config get-contexts` with --context, or another file with --kubeconfig", err)
}

// request is what is asked of the API server: of one object, or of all of a namespace
// when there is no name, or of all namespaces when there is none of these either.
type request struct {
	verb            string
	kind            kind
	namespace, name string
}

func (q request) String() string {
	switch where := fmt.Sprintf(" in namespace %q", q.namespace); {
	case q.name != "" && q.kind.cluster:
		return fmt.Sprintf("%s %s %q", q.verb, q.kind.singular(), q.name)
	case q.name != "":
		return fmt.Sprintf("%s %s %q", q.verb, q.kind.singular(), q.name) + where
	case q.kind.cluster:
		return q.verb + " " + q.kind.resource
	case q.namespace == "":
		return q.verb + " " + q.kind.resource + " in all namespaces"
	default:
		return q.verb + " " + q.kind.resource + where
	}
}

// failed says what a request failed for and what to do; nil when it did not.
func (q request) failed(err error) error {
	var unreachable *url.Error
	switch {
	case err == nil:
		return nil
	case unserved(err):
		return fmt.Errorf("%s: this cluster does not have the kind %s: choose another cluster with --context, or install the operator", q, q.kind.name)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: there is none of this name: look at what there is with `%s`", q, q.listing())
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w: ask an administrator of the cluster for the verb %q on %q%s", q, err, q.verb, q.kind.qualified(), q.role())
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w: sign in to the cluster again", q, err)
	case errors.As(err, &unreachable):
		return fmt.Errorf("%s: %w: check that the cluster of the context runs, or choose another with --context", q, err)
	default:
		return fmt.Errorf("%s: %w", q, err)
	}
}

// listing is the command that shows the objects among which one was looked for.
func (q request) listing() string {
	if q.kind.cluster {
		return "kubectl get " + q.kind.resource
	}
	return "kubectl get " + q.kind.resource + " -A"
}

// role names the role of config/rbac that permits the request, if one does.
func (q request) role() string {
	switch {
	case q.kind.group != v1alpha1.GroupVersion.Group:
		return ""
	case slices.Contains([]string{"get", "list"}, q.verb):
		return `, such as with ClusterRole "bailiwick-viewer"`
	case q.kind.edited:
		return `, such as with ClusterRole "bailiwick-tenant-editor"`
	default:
		return ""
	}
}

// unserved tells an API that the cluster does not have from an object that is not there.
func unserved(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}
