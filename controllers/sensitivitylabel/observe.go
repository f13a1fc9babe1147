package sensitivitylabel

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// Facts are all that is known about a label when it is decided upon.
type Facts struct {
	// Now is the time of the observation.
	Now metav1.Time
	// Label is the object itself, as the cache shows it.
	Label *v1alpha1.SensitivityLabel
	// Tenant is the one that it names; nil when it does not exist.
	Tenant *v1alpha1.Tenant
	// Rivals are the labels of the tenant, itself among them.
	Rivals []*v1alpha1.SensitivityLabel
	// Given is what the tenant's documents say, by region.
	Given map[v1alpha1.RegionReference]belonging.Given
}

// observe reads everything that a decision needs. No facts and no error mean that
// the label is gone.
func (c *Controller) observe(ctx context.Context, key client.ObjectKey) (*Facts, error) {
	label := &v1alpha1.SensitivityLabel{}
	if err := c.cache.Get(ctx, key, label, client.UnsafeDisableDeepCopy); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	f := &Facts{Now: metav1.NewTime(c.now()), Label: label}
	tenant := &v1alpha1.Tenant{}
	err := c.cache.Get(ctx, client.ObjectKey{Namespace: label.Namespace, Name: string(label.Spec.Tenant)}, tenant, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read tenant %q: %w", label.Spec.Tenant, err)
	}
	if err == nil {
		f.Tenant = tenant
	}
	if err := c.observeRivals(ctx, f); err != nil {
		return nil, err
	}
	return f, c.observeDocuments(ctx, f)
}

func (c *Controller) observeRivals(ctx context.Context, f *Facts) error {
	list := &v1alpha1.SensitivityLabelList{}
	if err := c.cache.List(ctx, list, client.InNamespace(f.Label.Namespace), client.MatchingFields{indexTenant: string(f.Label.Spec.Tenant)}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list labels of tenant %q: %w", f.Label.Spec.Tenant, err)
	}
	for i := range list.Items {
		f.Rivals = append(f.Rivals, &list.Items[i])
	}
	return nil
}

func (c *Controller) observeDocuments(ctx context.Context, f *Facts) error {
	tenant := f.Label.Namespace + "/" + string(f.Label.Spec.Tenant)
	list := &corev1.ConfigMapList{}
	if err := c.cache.List(ctx, list, client.MatchingFields{indexDocument: tenant}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list documents of tenant %q: %w", tenant, err)
	}
	f.Given = c.documents.Read(tenant, list.Items)
	return nil
}
