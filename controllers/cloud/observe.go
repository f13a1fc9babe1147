package cloud

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

// indexCloud finds regions and tenants by the cloud that they name. Index names are
// shared by all controllers of a manager, so each begins with its controller.
const indexCloud = "cloud:spec.cloud"

// Facts are all that is known about a cloud when it is decided upon.
type Facts struct {
	// Now is the time of the observation.
	Now metav1.Time
	// Cloud is the object itself, as the cache shows it.
	Cloud *v1alpha1.SovereignCloud
	// SecretName is the "namespace/name" of the authority's Secret.
	SecretName string
	// Secret holds the authority; nil when there is none.
	Secret *corev1.Secret
	// Authority is what the Secret holds; nil when it holds none that is usable.
	Authority *authority.Authority
	// Malformed says why the Secret holds no usable authority.
	Malformed string
	// Regions and Tenants name the cloud, as sorted "namespace/name".
	Regions, Tenants []string
}

func addIndexes(indexer client.FieldIndexer) error {
	for _, obj := range []client.Object{&v1alpha1.MailboxRegion{}, &v1alpha1.Tenant{}} {
		if err := indexer.IndexField(context.Background(), obj, indexCloud, func(o client.Object) []string {
			names := make([]string, 0, 1)
			for _, r := range cloudOf(context.Background(), o) {
				names = append(names, r.Name)
			}
			return names
		}); err != nil {
			return fmt.Errorf("index %T by cloud: %w", obj, err)
		}
	}
	return nil
}

// observe reads everything that a decision needs. No facts and no error mean that
// the cloud is gone.
func (c *Controller) observe(ctx context.Context, name string) (*Facts, error) {
	cloud := &v1alpha1.SovereignCloud{}
	if err := c.cache.Get(ctx, client.ObjectKey{Name: name}, cloud); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	f := &Facts{Now: metav1.NewTime(c.now()), Cloud: cloud}
	if err := c.observeAuthority(ctx, f); err != nil {
		return nil, err
	}
	return f, c.observeUsage(ctx, f)
}

func (c *Controller) observeAuthority(ctx context.Context, f *Facts) error {
	key := client.ObjectKey{Namespace: c.namespace, Name: authority.SecretName(f.Cloud.Name)}
	f.SecretName = key.String()
	secret, err := c.secret(ctx, key)
	if err != nil {
		return fmt.Errorf("read Secret %q: %w", f.SecretName, err)
	}
	f.Secret = secret
	if f.Authority, err = c.reader.Authority(f.Cloud.Name, secret); err != nil {
		f.Malformed = err.Error()
	}
	if secret != nil && f.Malformed == "" && secret.Labels[apply.LabelManagedBy] != apply.ManagedBy {
		// The regions would not see it: the cache holds what carries the label.
		f.Authority, f.Malformed = nil, fmt.Sprintf("label %q is not %q", apply.LabelManagedBy, apply.ManagedBy)
	}
	return nil
}

// secret reads from the cache and, only when it is not there, from the API server:
// a cache that is behind, or a label that was taken off, must never make a second
// authority.
func (c *Controller) secret(ctx context.Context, key client.ObjectKey) (*corev1.Secret, error) {
	for _, r := range []client.Reader{c.cache, c.live} {
		secret := &corev1.Secret{}
		err := r.Get(ctx, key, secret)
		if err == nil {
			return secret, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return nil, nil //nolint:nilnil // no Secret is a fact, not a failure
}

func (c *Controller) observeUsage(ctx context.Context, f *Facts) error {
	regions := &v1alpha1.MailboxRegionList{}
	tenants := &v1alpha1.TenantList{}
	for _, list := range []client.ObjectList{regions, tenants} {
		if err := c.cache.List(ctx, list, client.MatchingFields{indexCloud: f.Cloud.Name}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list %T of cloud %q: %w", list, f.Cloud.Name, err)
		}
	}
	for i := range regions.Items {
		f.Regions = append(f.Regions, client.ObjectKeyFromObject(&regions.Items[i]).String())
	}
	for i := range tenants.Items {
		f.Tenants = append(f.Tenants, client.ObjectKeyFromObject(&tenants.Items[i]).String())
	}
	slices.Sort(f.Regions)
	slices.Sort(f.Tenants)
	return nil
}
