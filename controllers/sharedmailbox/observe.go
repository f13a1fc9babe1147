package sharedmailbox

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// Facts are all that is known about a shared mailbox when it is decided upon.
type Facts struct {
	// Now is the time of the observation.
	Now metav1.Time
	// Mailbox is the object itself, as the cache shows it.
	Mailbox *v1alpha1.SharedMailbox
	// Tenant is the one that it names; nil when it does not exist.
	Tenant *v1alpha1.Tenant
	// Rivals are the shared mailboxes of the tenant with the same address, itself
	// among them.
	Rivals []*v1alpha1.SharedMailbox
	// Given is what the tenant's documents say, by region.
	Given map[v1alpha1.RegionReference]belonging.Given
}

// observe reads everything that a decision needs. No facts and no error mean that
// the mailbox is gone.
func (c *Controller) observe(ctx context.Context, key client.ObjectKey) (*Facts, error) {
	mailbox := &v1alpha1.SharedMailbox{}
	if err := c.cache.Get(ctx, key, mailbox, client.UnsafeDisableDeepCopy); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	f := &Facts{Now: metav1.NewTime(c.now()), Mailbox: mailbox}
	tenant := &v1alpha1.Tenant{}
	err := c.cache.Get(ctx, client.ObjectKey{Namespace: mailbox.Namespace, Name: string(mailbox.Spec.Tenant)}, tenant, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read tenant %q: %w", mailbox.Spec.Tenant, err)
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
	list := &v1alpha1.SharedMailboxList{}
	if err := c.cache.List(ctx, list, client.InNamespace(f.Mailbox.Namespace), client.MatchingFields{indexAddress: addressKey(f.Mailbox)}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list shared mailboxes with address %q: %w", f.Mailbox.Spec.Address, err)
	}
	for i := range list.Items {
		f.Rivals = append(f.Rivals, &list.Items[i])
	}
	return nil
}

func (c *Controller) observeDocuments(ctx context.Context, f *Facts) error {
	tenant := f.Mailbox.Namespace + "/" + string(f.Mailbox.Spec.Tenant)
	list := &corev1.ConfigMapList{}
	if err := c.cache.List(ctx, list, client.MatchingFields{indexDocument: tenant}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list documents of tenant %q: %w", tenant, err)
	}
	f.Given = c.documents.Read(tenant, list.Items)
	return nil
}
