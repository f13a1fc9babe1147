package tenant

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// certificateSource is an object that a tenant names for the certificates in it.
type certificateSource struct {
	kind, namespace, name string
}

func (s certificateSource) String() string { return s.kind + "/" + s.namespace + "/" + s.name }

// sourcesOf lists the objects that certificates of a tenant come from.
func sourcesOf(t *v1alpha1.Tenant) []certificateSource {
	var sources []certificateSource
	add := func(kind string, name v1alpha1.ObjectName) {
		sources = append(sources, certificateSource{kind: kind, namespace: t.Namespace, name: string(name)})
	}
	if bundle := t.Spec.Identity.CABundle; bundle != nil && bundle.SecretRef != nil {
		add("Secret", bundle.SecretRef.Name)
	}
	if t.Spec.SMIME == nil {
		return sources
	}
	for _, list := range []*v1alpha1.CertificateSource{t.Spec.SMIME.TrustAnchors, t.Spec.SMIME.Intermediates} {
		switch {
		case list == nil:
		case list.ConfigMapRef != nil:
			add("ConfigMap", list.ConfigMapRef.Name)
		case list.SecretRef != nil:
			add("Secret", list.SecretRef.Name)
		}
	}
	return sources
}

// sourceNames index tenants by the objects that their certificates come from.
func sourceNames(obj client.Object) []string {
	t, ok := obj.(*v1alpha1.Tenant)
	if !ok {
		return nil
	}
	var names []string
	for _, s := range sourcesOf(t) {
		names = append(names, s.String())
	}
	return names
}

// sourceVersions tells which versions the objects have that a tenant names, in one text that changes when one of them
// does.
type sourceVersions func(ctx context.Context, t *v1alpha1.Tenant) (string, error)

// versions knows which version each ConfigMap and Secret of the cluster has, in a cache of its own, and nothing else of
// them: what they hold stays in the API server until a tenant that names one reads it by name.
type versions struct{ cache cache.Cache }

func newVersions(mgr manager.Manager) (*versions, error) {
	c, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), DefaultTransform: onlyVersion,
		ByObject: map[client.Object]cache.ByObject{
			// Those are many in a cluster, and hold no certificates of anybody.
			&corev1.Secret{}: {Field: fields.AndSelectors(
				fields.OneTermNotEqualSelector("type", "helm.sh/release.v1"),
				fields.OneTermNotEqualSelector("type", string(corev1.SecretTypeServiceAccountToken)),
				fields.OneTermNotEqualSelector("type", string(corev1.SecretTypeDockerConfigJson)),
			)},
			&corev1.ConfigMap{}: {Field: fields.OneTermNotEqualSelector("metadata.name", "kube-root-ca.crt")},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make cache of versions: %w", err)
	}
	if err := mgr.Add(c); err != nil {
		return nil, fmt.Errorf("add cache of versions: %w", err)
	}
	return &versions{cache: c}, nil
}

// onlyVersion drops all that is not asked of an object.
func onlyVersion(obj any) (any, error) {
	if o, ok := obj.(*metav1.PartialObjectMetadata); ok {
		o.ObjectMeta = metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, ResourceVersion: o.ResourceVersion}
	}
	return obj, nil
}

// of is the sourceVersions of the operator.
func (v *versions) of(ctx context.Context, t *v1alpha1.Tenant) (string, error) {
	var found []string
	for _, s := range sourcesOf(t) {
		object := described(s.kind)
		err := v.cache.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: s.name}, object)
		if err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("look up %s %q: %w", s.kind, s.namespace+"/"+s.name, err)
		}
		found = append(found, object.ResourceVersion)
	}
	return strings.Join(found, " "), nil
}

func described(kind string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return object
}

// watch hands the names of objects of a kind that changed to a function that says whom that concerns.
func (v *versions) watch(kind string, concerned func(context.Context, certificateSource) []reconcile.Request) source.Source {
	requests := func(ctx context.Context, obj client.Object) []reconcile.Request {
		return concerned(ctx, certificateSource{kind: kind, namespace: obj.GetNamespace(), name: obj.GetName()})
	}
	return source.Kind[client.Object](v.cache, described(kind), handler.EnqueueRequestsFromMapFunc(requests), predicate.ResourceVersionChangedPredicate{})
}

func (c *Controller) tenantsOfSource(ctx context.Context, s certificateSource) []reconcile.Request {
	return c.tenants(ctx, client.MatchingFields{indexSource: s.String()})
}
