package region

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

// Names of the field indexes of the cache. Indexes are shared by all controllers of
// a manager, so each begins with its controller.
const (
	indexCloud    = "region:spec.cloud"
	indexHostname = "region:spec.endpoint.hostname"
	indexRegion   = "region:tenant.regions"
	indexOwned    = "region:label.region"
)

// observe reads everything that a decision needs, from the cache. Nil facts and no
// error mean that the region is gone.
func (c *Controller) observe(ctx context.Context, name client.ObjectKey) (*Facts, error) {
	f := &Facts{Now: c.now(), Region: &v1alpha1.MailboxRegion{}}
	found, err := c.get(ctx, name.Namespace, name.Name, f.Region)
	if err != nil || !found {
		return nil, err
	}
	steps := []func(context.Context, *Facts) error{
		c.observeCloud, c.observeObjects, c.observePods, c.observeReplicas, c.observeTenants, c.observeRivals, c.observeKubeConfig, c.observeStorage, c.observeDelivery,
	}
	for _, step := range steps {
		if err := step(ctx, f); err != nil {
			return nil, err
		}
	}
	if f.Secret != nil {
		f.Serving = c.certificates.Serving(f.Authority, f.Secret)
	}
	f.CountedAt = c.counted.at(f.Region.UID)
	return f, nil
}

// get reads one object; not found is an answer. What comes back is the cache's own
// copy.
func (c *Controller) get(ctx context.Context, namespace, name string, obj client.Object) (bool, error) {
	err := c.cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %T %q: %w", obj, name, err)
	}
	return true, nil
}

func (c *Controller) observeCloud(ctx context.Context, f *Facts) error {
	name := string(f.Region.Spec.Cloud)
	cloud := &v1alpha1.SovereignCloud{}
	found, err := c.get(ctx, "", name, cloud)
	if err != nil || !found {
		return err
	}
	f.Cloud = cloud
	secret := &corev1.Secret{}
	found, err = c.get(ctx, c.options.Namespace, authority.SecretName(name), secret)
	if err != nil || !found {
		return err
	}
	if f.Authority, err = c.certificates.Authority(name, secret); err != nil {
		f.Authority, f.AuthorityProblem = nil, err.Error()
	}
	return nil
}

// observeObjects reads the region's own objects by their names.
func (c *Controller) observeObjects(ctx context.Context, f *Facts) error {
	n := namesOf(f.Region)
	secret, service := &corev1.Secret{}, &corev1.Service{}
	wanted := []sought{
		{n.sync(), &corev1.ServiceAccount{}, nil},
		{n.sync(), &rbacv1.Role{}, nil},
		{n.sync(), &rbacv1.RoleBinding{}, nil},
		{n.tls(), secret, func() { f.Secret = secret }},
		{n.bundle(), &corev1.ConfigMap{}, nil},
		{n.sync(), service, func() { f.Service = service }},
		{n.sync(), &policyv1.PodDisruptionBudget{}, nil},
		{n.deny(), &networkingv1.NetworkPolicy{}, nil},
		{n.sync(), &networkingv1.NetworkPolicy{}, nil},
	}
	for _, w := range slices.Concat(wanted, seekMailPorts(f), seekWorkload(f)) {
		found, err := c.get(ctx, f.Region.Namespace, w.name, w.obj)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		f.Found = append(f.Found, w.obj)
		if w.keep != nil {
			w.keep()
		}
	}
	return nil
}

// sought is an object to look for, and where to keep it.
type sought struct {
	name string
	obj  client.Object
	keep func()
}

// seekWorkload gives what makes the pods of the region, by the kind of its storage.
func seekWorkload(f *Facts) []sought {
	n := namesOf(f.Region)
	if f.onPostgres() {
		deployment, autoscaler := &appsv1.Deployment{}, &autoscalingv2.HorizontalPodAutoscaler{}
		return []sought{
			{n.sync(), deployment, func() { f.Deployment = deployment }},
			{n.sync(), autoscaler, func() { f.Autoscaler = autoscaler }},
		}
	}
	set, claim := &appsv1.StatefulSet{}, &corev1.PersistentVolumeClaim{}
	return []sought{
		{n.pods(), &corev1.Service{}, nil},
		{n.sync(), set, func() { f.StatefulSet = set }},
		{n.claim(), claim, func() { f.Claim = claim }},
	}
}

// seekMailPorts gives the Services at which mail comes in, also when the spec asks for
// them no longer.
func seekMailPorts(f *Facts) []sought {
	f.MailPorts = map[string]*corev1.Service{}
	list := make([]sought, 0, len(mailProtocols))
	for _, protocol := range mailProtocols {
		service := &corev1.Service{}
		list = append(list, sought{namesOf(f.Region).mail(protocol), service, func() { f.MailPorts[protocol] = service }})
	}
	return list
}

// observeTenants finds the tenants that name the region, and the generation of the
// document that each has here.
func (c *Controller) observeTenants(ctx context.Context, f *Facts) error {
	list := &v1alpha1.TenantList{}
	key := client.ObjectKeyFromObject(f.Region).String()
	if err := c.cache.List(ctx, list, client.MatchingFields{indexRegion: key}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list tenants of region %q: %w", key, err)
	}
	for i := range list.Items {
		if list.Items[i].Spec.Cloud != f.Region.Spec.Cloud {
			continue // refused for ever: it never lives here, and must not hold up a deletion
		}
		tenant := TenantFacts{Name: client.ObjectKeyFromObject(&list.Items[i]).String()}
		document := &corev1.ConfigMap{}
		found, err := c.get(ctx, f.Region.Namespace, tenantdoc.ConfigMapName(f.Region.Name, tenant.Name), document)
		if err != nil {
			return err
		}
		tenant.Lives = found
		if found {
			d := c.documents.value(document)
			tenant.UID, tenant.Generation, tenant.IssuerPorts = d.uid, d.generation, d.ports
		}
		f.Tenants = append(f.Tenants, tenant)
	}
	slices.SortFunc(f.Tenants, func(a, b TenantFacts) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// observeRivals finds the region that has the hostname, should it be another one.
func (c *Controller) observeRivals(ctx context.Context, f *Facts) error {
	list := &v1alpha1.MailboxRegionList{}
	hostname := string(f.Region.Spec.Endpoint.Hostname)
	if err := c.cache.List(ctx, list, client.MatchingFields{indexHostname: hostname}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list regions with hostname %q: %w", hostname, err)
	}
	holder := f.Region
	for i := range list.Items {
		if precedes(&list.Items[i], holder) {
			holder = &list.Items[i]
		}
	}
	if holder.UID != f.Region.UID {
		f.Rival = client.ObjectKeyFromObject(holder).String()
	}
	return nil
}

// precedes tells whether a has a better claim to a hostname than b: the one that
// serves it, then the older, then the one whose name comes first.
func precedes(a, b *v1alpha1.MailboxRegion) bool {
	url := endpointURL(a.Spec.Endpoint.Hostname)
	if aServes, bServes := a.Status.EndpointURL == url, b.Status.EndpointURL == url; aServes != bServes {
		return aServes
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return client.ObjectKeyFromObject(a).String() < client.ObjectKeyFromObject(b).String()
}

// observeKubeConfig reads the Secret that the spec names, past the cache: it is the
// user's and carries no label of ours.
func (c *Controller) observeKubeConfig(ctx context.Context, f *Facts) error {
	if f.Region.Spec.Cluster == nil {
		return nil
	}
	ref := f.Region.Spec.Cluster.KubeConfigSecretRef
	secret := &corev1.Secret{}
	err := c.live.Get(ctx, client.ObjectKey{Namespace: f.Region.Namespace, Name: string(ref.Name)}, secret)
	switch {
	case apierrors.IsNotFound(err):
		f.KubeConfigProblem = kubeConfigObstacle(v1alpha1.ReasonSecretNotFound,
			fmt.Sprintf("Secret %q does not exist: create it with a kubeconfig under the key %q", ref.Name, ref.Key))
	case err != nil:
		return fmt.Errorf("read Secret %q: %w", ref.Name, err)
	default:
		f.KubeConfigProblem = judgeKubeConfig(string(ref.Name), ref.Key, secret.Data[ref.Key])
	}
	return nil
}

func kubeConfigObstacle(reason, message string) *Obstacle {
	return &Obstacle{v1alpha1.ConditionClusterReachable, reason, "spec.cluster.kubeConfigSecretRef: " + message}
}

func judgeKubeConfig(name, key string, raw []byte) *Obstacle {
	if len(raw) == 0 {
		return kubeConfigObstacle(v1alpha1.ReasonSecretMalformed, fmt.Sprintf("Secret %q has nothing under the key %q: put the kubeconfig there", name, key))
	}
	if _, err := ParseKubeConfig(raw); err != nil {
		return kubeConfigObstacle(v1alpha1.ReasonSecretMalformed, fmt.Sprintf("Secret %q, key %q: %v", name, key, err))
	}
	return nil
}
