package plugin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Node is a thing that is as declared or not, with the things that it rests on.
type Node struct {
	// Kind of the object, or "Condition" for a part of what an object tells.
	Kind string `json:"kind"`
	// Namespace of the object, if it is in one.
	Namespace string `json:"namespace,omitempty"`
	// Name of the object, or type of the condition.
	Name string `json:"name"`
	// Ready is whether it is as declared.
	Ready metav1.ConditionStatus `json:"ready"`
	// Paused tells that the controllers leave it as it is.
	Paused bool `json:"paused,omitempty"`
	// Reason is why it is not ready, in one word; empty when it is.
	Reason string `json:"reason,omitempty"`
	// Message says what is wrong, where, and what to do; empty when nothing is, and when
	// what it belongs to says it already.
	Message string `json:"message,omitempty"`
	// Detail is what else is worth knowing.
	Detail string `json:"detail,omitempty"`
	// Children are what it rests on, what is not as declared first.
	Children []Node `json:"children,omitempty"`
}

const (
	// kindCondition is the kind of what is no object.
	kindCondition = "Condition"
	// nameEnforcement is whether a region enforces a tenant as it is declared.
	nameEnforcement = "Enforcement"

	// reasonUntold is the reason of an object of which no controller has told.
	reasonUntold = "NotReconciled"
	// reasonMissing is the reason of an object that is named and does not exist.
	reasonMissing = "NotFound"
	// reasonForbidden is the reason of an object that may not be read.
	reasonForbidden = "Forbidden"
)

// trees gives the tree of each tenant.
func (f *facts) trees() []Node {
	nodes := make([]Node, 0, len(f.tenants))
	for i := range f.tenants {
		nodes = append(nodes, f.tenant(&f.tenants[i]))
	}
	return worstFirst(nodes)
}

func (f *facts) tenant(t *v1alpha1.Tenant) Node {
	n := object(tenants, t, &t.Status.ReconcileStatus)
	n.Detail = detail("cloud "+string(t.Spec.Cloud), t.Status.Home)
	n.Children = conditions(&t.Status.ReconcileStatus, map[string]func(*Node){
		v1alpha1.ConditionIdentityReady: func(n *Node) { n.Detail = t.Status.Identity.Issuer },
		v1alpha1.ConditionDomainsReady: func(n *Node) {
			n.Detail = fmt.Sprintf("%d of %d held", len(t.Status.HeldDomains), len(t.Spec.Domains))
		},
		v1alpha1.ConditionRegionsReady: func(n *Node) { n.Detail = t.Status.RegionsReady },
	})
	grafted := map[string][]Node{
		v1alpha1.ConditionRegionsReady:  f.regionsOf(t),
		v1alpha1.ConditionPoliciesReady: f.policiesOf(t),
	}
	for i := range n.Children {
		n.Children[i].Children = worstFirst(grafted[n.Children[i].Name])
		delete(grafted, n.Children[i].Name)
	}
	// A tenant of which nothing was told yet has what it names all the same.
	n.Children = append(n.Children, grafted[v1alpha1.ConditionRegionsReady]...)
	n.Children = append(n.Children, grafted[v1alpha1.ConditionPoliciesReady]...)
	n.Children = append(n.Children, f.othersOf(t)...)
	n.Children = worstFirst(append(n.Children, f.cloud(t.Spec.Cloud)))
	return n
}

func (f *facts) cloud(name v1alpha1.ObjectName) Node {
	it := f.clouds[name]
	if it.object == nil {
		return absent(clouds, "", string(name), it.forbidden, "create it, or apply the one of config/clouds")
	}
	n := object(clouds, it.object, &it.object.Status.ReconcileStatus)
	n.Detail = string(it.object.Status.Compliance.Cryptography)
	return n
}

func (f *facts) regionsOf(t *v1alpha1.Tenant) []Node {
	var nodes []Node
	for _, ref := range regionsOf(t) {
		nodes = append(nodes, f.region(t, ref))
	}
	return nodes
}

// region is a region with what it does of a tenant.
func (f *facts) region(t *v1alpha1.Tenant, ref v1alpha1.RegionReference) Node {
	it := f.regions[ref]
	if it.object == nil {
		n := absent(regions, string(ref.Namespace), string(ref.Name), it.forbidden, "create it, or name another in spec.homeRegion or spec.regions of the tenant")
		if it.forbidden != nil {
			n.Children = []Node{enforcement(t, ref)}
		}
		return n
	}
	r := it.object
	n := object(regions, r, &r.Status.ReconcileStatus)
	n.Detail = r.Status.EndpointURL
	n.Children = conditions(&r.Status.ReconcileStatus, map[string]func(*Node){
		v1alpha1.ConditionWorkloadAvailable: func(n *Node) { n.Detail = detail(r.Status.Replicas, r.Status.SyncVersion) },
		v1alpha1.ConditionCertificateReady: func(n *Node) {
			if at := r.Status.CertificateNotAfter; at != nil {
				n.Detail = "until " + at.UTC().Format(time.DateOnly)
			}
		},
	})
	n.Children = worstFirst(append(n.Children, enforcement(t, ref)))
	return n
}

// enforcement is whether a region enforces the newest generation of a tenant. Why not
// is told by the tenant, unless the region has a word of its own.
func enforcement(t *v1alpha1.Tenant, ref v1alpha1.RegionReference) Node {
	n := Node{Kind: kindCondition, Name: nameEnforcement, Ready: metav1.ConditionUnknown, Reason: reasonUntold}
	for _, r := range t.Status.Regions {
		if r.Namespace != ref.Namespace || r.Name != ref.Name {
			continue
		}
		n.Detail = fmt.Sprintf("generation %d of %d", r.EnforcedGeneration, t.Generation)
		n.Ready, n.Reason, n.Message = metav1.ConditionFalse, v1alpha1.ReasonNotEnforcedYet, r.Message
		if r.EnforcedGeneration == t.Generation && r.Message == "" {
			n.Ready, n.Reason = metav1.ConditionTrue, ""
		}
	}
	return n
}

// policiesOf are the policies of a tenant. What they do not tell themselves is what the
// tenant tells of all of them.
func (f *facts) policiesOf(t *v1alpha1.Tenant) []Node {
	all := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionPoliciesReady)
	var nodes []Node
	for _, p := range f.of(t.Namespace, v1alpha1.ObjectName(t.Name)).policies {
		n := object(policies, p, &p.Status.ReconcileStatus)
		n.Detail = fmt.Sprintf("priority %d, %s", p.Spec.Priority, p.Spec.Access)
		if n.Reason == reasonUntold && all != nil && all.Status != metav1.ConditionTrue {
			n.Ready, n.Reason, n.Message = all.Status, all.Reason, ""
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// othersOf are the shared mailboxes and labels of a tenant.
func (f *facts) othersOf(t *v1alpha1.Tenant) []Node {
	var nodes []Node
	of := f.of(t.Namespace, v1alpha1.ObjectName(t.Name))
	for _, m := range of.mailboxes {
		n := object(mailboxes, m, &m.Status.ReconcileStatus)
		n.Detail = detail(string(m.Spec.Address), m.Status.Region)
		nodes = append(nodes, n)
	}
	for _, l := range of.labels {
		n := object(labels, l, &l.Status.ReconcileStatus)
		n.Detail = fmt.Sprintf("rank %d", l.Spec.Rank)
		nodes = append(nodes, n)
	}
	return nodes
}

// object is the node of an object by its condition Ready.
func object(k kind, o metav1.Object, s *v1alpha1.ReconcileStatus) Node {
	n := Node{
		Kind: k.name, Namespace: o.GetNamespace(), Name: o.GetName(),
		Ready: metav1.ConditionUnknown, Reason: reasonUntold, Message: "no controller has told of it yet: see whether the operator runs",
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); c != nil {
		n.set(c)
	}
	n.Paused = meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionPaused)
	if n.Ready == metav1.ConditionTrue && !n.Paused && s.ObservedGeneration < o.GetGeneration() {
		n.Ready, n.Reason = metav1.ConditionUnknown, v1alpha1.ReasonProgressing
		n.Message = fmt.Sprintf("no controller has looked at generation %d yet: wait, or see whether the operator runs", o.GetGeneration())
	}
	return n
}

// set takes over a condition.
func (n *Node) set(c *metav1.Condition) {
	n.Ready, n.Reason, n.Message = c.Status, c.Reason, c.Message
	if c.Status == metav1.ConditionTrue {
		n.Reason, n.Message = "", ""
	}
}

// absent is the node of an object that does not exist, or may not be read.
func absent(k kind, namespace, name string, forbidden error, remedy string) Node {
	n := Node{Kind: k.name, Namespace: namespace, Name: name, Ready: metav1.ConditionFalse, Reason: reasonMissing, Message: "it does not exist: " + remedy}
	if forbidden != nil {
		n.Ready, n.Reason, n.Message = metav1.ConditionUnknown, reasonForbidden, forbidden.Error()
	}
	return n
}

// conditions are the nodes of the conditions from which Ready is derived, in the order
// in which they are told. The functions add what else is worth knowing.
func conditions(s *v1alpha1.ReconcileStatus, more map[string]func(*Node)) []Node {
	var nodes []Node
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if subject(c.Type) == "" {
			continue
		}
		n := Node{Kind: kindCondition, Name: c.Type}
		n.set(c)
		if add := more[c.Type]; add != nil {
			add(&n)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// subject is what a condition is about; empty for those that say nothing beyond Ready.
func subject(condition string) string {
	for _, suffix := range []string{"Ready", "Available", "Reachable", "Synced"} {
		if name, ok := strings.CutSuffix(condition, suffix); ok {
			return name
		}
	}
	return ""
}

// title is how a node is called.
func (n *Node) title() string {
	if n.Kind == kindCondition {
		return cmp.Or(subject(n.Name), n.Name)
	}
	title := n.Kind + " " + n.Name
	if n.Namespace != "" {
		title = n.Kind + " " + n.Namespace + "/" + n.Name
	}
	if n.Paused {
		title += " (paused)"
	}
	return title
}

// worst is the worst of a node and of what it rests on.
func (n *Node) worst() int {
	rank := slices.Index([]metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionUnknown, metav1.ConditionTrue}, n.Ready)
	for i := range n.Children {
		rank = min(rank, n.Children[i].worst())
	}
	return rank
}

// worstFirst has what is not as declared first, and leaves the order otherwise.
func worstFirst(nodes []Node) []Node {
	slices.SortStableFunc(nodes, func(a, b Node) int { return a.worst() - b.worst() })
	return nodes
}

// detail joins what is known.
func detail(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}
