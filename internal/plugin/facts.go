package plugin

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// facts are the objects of which trees are made, each list sorted by namespace and name.
type facts struct {
	tenants []v1alpha1.Tenant
	// belongings are those of each tenant.
	belongings map[client.ObjectKey]*belongings
	// clouds and regions are those that the tenants name.
	clouds  map[v1alpha1.ObjectName]found[v1alpha1.SovereignCloud]
	regions map[v1alpha1.RegionReference]found[v1alpha1.MailboxRegion]
}

// belongings are the objects that name a tenant.
type belongings struct {
	mailboxes []*v1alpha1.SharedMailbox
	labels    []*v1alpha1.SensitivityLabel
	policies  []*v1alpha1.DevicePolicy
}

// found is what came of looking for an object: nothing when it does not exist, and why
// when it may not be read, which is no reason to show nothing else.
type found[O any] struct {
	object    *O
	forbidden error
}

// read reads tenants and what they rest on.
func read(ctx context.Context, r client.Reader, which choice) (*facts, error) {
	f := &facts{
		belongings: map[client.ObjectKey]*belongings{},
		clouds:     map[v1alpha1.ObjectName]found[v1alpha1.SovereignCloud]{},
		regions:    map[v1alpha1.RegionReference]found[v1alpha1.MailboxRegion]{},
	}
	if err := f.readTenants(ctx, r, which); err != nil {
		return nil, err
	}
	for _, namespace := range f.namespaces(which) {
		if err := f.readBelongings(ctx, r, namespace); err != nil {
			return nil, err
		}
	}
	for i := range f.tenants {
		if err := f.readGround(ctx, r, &f.tenants[i]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *facts) readTenants(ctx context.Context, r client.Reader, which choice) error {
	if len(which.keys) == 0 {
		var list v1alpha1.TenantList
		err := readAll(ctx, r, tenants, &list, which.namespace)
		f.tenants = sorted(list.Items, func(t *v1alpha1.Tenant) client.Object { return t })
		return err
	}
	for _, key := range which.keys {
		var t v1alpha1.Tenant
		if err := r.Get(ctx, key, &t); err != nil {
			return request{verb: "get", kind: tenants, namespace: key.Namespace, name: key.Name}.failed(err)
		}
		f.tenants = append(f.tenants, t)
	}
	return nil
}

// namespaces are those in which there may be something that belongs to the tenants; all
// are one that is empty.
func (f *facts) namespaces(which choice) []string {
	if which.namespace == "" && len(which.keys) == 0 {
		return []string{""}
	}
	var names []string
	for i := range f.tenants {
		names = append(names, f.tenants[i].Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (f *facts) readBelongings(ctx context.Context, r client.Reader, namespace string) error {
	var (
		m v1alpha1.SharedMailboxList
		l v1alpha1.SensitivityLabelList
		p v1alpha1.DevicePolicyList
	)
	for _, read := range []struct {
		kind kind
		list client.ObjectList
	}{{mailboxes, &m}, {labels, &l}, {policies, &p}} {
		if err := readAll(ctx, r, read.kind, read.list, namespace); err != nil {
			return err
		}
	}
	for i, it := range sorted(m.Items, func(m *v1alpha1.SharedMailbox) client.Object { return m }) {
		of := f.of(it.Namespace, it.Spec.Tenant)
		of.mailboxes = append(of.mailboxes, &m.Items[i])
	}
	for i, it := range sorted(l.Items, func(l *v1alpha1.SensitivityLabel) client.Object { return l }) {
		of := f.of(it.Namespace, it.Spec.Tenant)
		of.labels = append(of.labels, &l.Items[i])
	}
	for i, it := range sorted(p.Items, func(p *v1alpha1.DevicePolicy) client.Object { return p }) {
		of := f.of(it.Namespace, it.Spec.Tenant)
		of.policies = append(of.policies, &p.Items[i])
	}
	return nil
}

// of gives what belongs to a tenant.
func (f *facts) of(namespace string, tenant v1alpha1.ObjectName) *belongings {
	key := client.ObjectKey{Namespace: namespace, Name: string(tenant)}
	if f.belongings[key] == nil {
		f.belongings[key] = &belongings{}
	}
	return f.belongings[key]
}

// readGround reads the cloud and the regions of a tenant, each once.
func (f *facts) readGround(ctx context.Context, r client.Reader, t *v1alpha1.Tenant) error {
	if _, known := f.clouds[t.Spec.Cloud]; !known {
		cloud := &v1alpha1.SovereignCloud{}
		exists, forbidden, err := find(ctx, r, request{verb: "get", kind: clouds, name: string(t.Spec.Cloud)}, cloud)
		if err != nil {
			return err
		}
		f.clouds[t.Spec.Cloud] = looked(cloud, exists, forbidden)
	}
	for _, ref := range regionsOf(t) {
		if _, known := f.regions[ref]; known {
			continue
		}
		region := &v1alpha1.MailboxRegion{}
		exists, forbidden, err := find(ctx, r, request{verb: "get", kind: regions, namespace: string(ref.Namespace), name: string(ref.Name)}, region)
		if err != nil {
			return err
		}
		f.regions[ref] = looked(region, exists, forbidden)
	}
	return nil
}

func looked[O any](object *O, exists bool, forbidden error) found[O] {
	if !exists {
		object = nil
	}
	return found[O]{object: object, forbidden: forbidden}
}

// find reads an object, and tells whether it exists and why it may not be read.
func find(ctx context.Context, r client.Reader, q request, o client.Object) (exists bool, forbidden, err error) {
	err = r.Get(ctx, client.ObjectKey{Namespace: q.namespace, Name: q.name}, o)
	switch {
	case apierrors.IsForbidden(err):
		return false, q.failed(err), nil
	case apierrors.IsNotFound(err) && !unserved(err):
		return false, nil, nil
	default:
		return err == nil, nil, q.failed(err)
	}
}

// readAll reads a list of a namespace, or of all when it is empty.
func readAll(ctx context.Context, r client.Reader, k kind, list client.ObjectList, namespace string) error {
	return request{verb: "list", kind: k, namespace: namespace}.failed(r.List(ctx, list, client.InNamespace(namespace)))
}

func sorted[O any](items []O, object func(*O) client.Object) []O {
	slices.SortFunc(items, func(a, b O) int {
		x, y := object(&a), object(&b)
		return strings.Compare(client.ObjectKeyFromObject(x).String(), client.ObjectKeyFromObject(y).String())
	})
	return items
}

// regionsOf are the regions that a tenant names, the home region first.
func regionsOf(t *v1alpha1.Tenant) []v1alpha1.RegionReference {
	return append([]v1alpha1.RegionReference{t.Spec.HomeRegion}, t.Spec.Regions...)
}
