package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
)

// sharedMailboxes asserts that each shared mailbox is Ready, that the session of each
// resident has those of which they are a member and no other, and that these have an
// inbox.
func (c *checker) sharedMailboxes(ctx context.Context) (string, error) {
	for _, m := range cast.SharedMailboxes() {
		object, err := kube.Get[v1alpha1.SharedMailbox](ctx, c.Cluster, kube.SharedMailboxes, m.Namespace, m.Object.Name)
		if err != nil {
			return "", err
		}
		value, _, message := kube.Condition(object.Status.ReconcileStatus, v1alpha1.ConditionReady)
		if value != "True" || object.Status.Region != m.Region.String() {
			return "", fmt.Errorf("%q: Ready is %q (%s), region %q; want %q", m, value, message, object.Status.Region, m.Region)
		}
	}
	seen := 0
	for _, r := range cast.Residents() {
		count, err := c.sharedWith(ctx, r)
		if err != nil {
			return "", err
		}
		seen += count
	}
	return fmt.Sprintf("%d are Ready, and %d sessions have one as their second account", len(cast.SharedMailboxes()), seen), nil
}

// sharedWith asserts what is shared with a resident.
func (c *checker) sharedWith(ctx context.Context, r cast.Resident) (int, error) {
	token, err := c.Token(ctx, r.Cloud, r.Email, r.Device)
	if err != nil {
		return 0, err
	}
	plain, err := c.HTTP()
	if err != nil {
		return 0, err
	}
	account, err := mailclient.Open(plain, c.Region(r.Home).URL, token)
	if err != nil {
		return 0, err
	}
	defer account.Close()
	shared, count := account.Shared(), 0
	for _, m := range cast.SharedMailboxes() {
		id, has := shared[m.Name]
		if has != slices.Contains(m.Members, r.Email) {
			return 0, fmt.Errorf("%s: %q is in the session: %v", r.Email, m.Name, has)
		}
		if !has {
			continue
		}
		count++
		if _, _, err := account.Use(id).Subjects(ctx, 1); err != nil {
			return 0, fmt.Errorf("%s: read %q: %w", r.Email, m.Name, err)
		}
	}
	if len(shared) != count {
		return 0, fmt.Errorf("%s: %d shared accounts, want %d", r.Email, len(shared), count)
	}
	return count, nil
}
