package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// kind is a kind of objects, by the names that a user may give it.
type kind struct {
	name, resource, short, group, version string
	// cluster tells that its objects are in no namespace.
	cluster bool
	// edited tells that those who declare tenants may write it.
	edited bool
}

// The kinds of Bailiwick.
var (
	clouds    = ourKind("SovereignCloud", "sovereignclouds", "scl", true, false)
	regions   = ourKind("MailboxRegion", "mailboxregions", "mbr", false, false)
	tenants   = ourKind("Tenant", "tenants", "ten", false, true)
	policies  = ourKind("DevicePolicy", "devicepolicies", "dpol", false, true)
	mailboxes = ourKind("SharedMailbox", "sharedmailboxes", "smb", false, true)
	labels    = ourKind("SensitivityLabel", "sensitivitylabels", "slab", false, true)

	ours = []kind{clouds, regions, tenants, policies, mailboxes, labels}
)

func ourKind(name, resource, short string, cluster, edited bool) kind {
	return kind{
		name: name, resource: resource, short: short, cluster: cluster, edited: edited,
		group: v1alpha1.GroupVersion.Group, version: v1alpha1.GroupVersion.Version,
	}
}

// singular is the name of one object of the kind.
func (k kind) singular() string { return strings.ToLower(k.name) }

// qualified is the resource with its group, as roles name it.
func (k kind) qualified() string {
	return schema.GroupResource{Group: k.group, Resource: k.resource}.String()
}

func (k kind) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.group, Version: k.version, Kind: k.name}
}

func (k kind) named(name string) bool {
	name, group, grouped := strings.Cut(strings.ToLower(name), ".")
	return (!grouped || group == k.group) && slices.Contains([]string{k.resource, k.singular(), k.short}, name)
}

// of is the way to the objects of the kind.
func (k kind) of(c metadata.Interface, namespace string) metadata.ResourceInterface {
	r := c.Resource(schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.resource})
	if k.cluster {
		return r
	}
	return r.Namespace(namespace)
}

// target is an object that a user names.
type target struct {
	kind      kind
	namespace string
	name      string
}

func (t target) String() string {
	if t.kind.cluster {
		return t.kind.singular() + "/" + t.name
	}
	return t.kind.singular() + "/" + t.name + " in " + t.namespace
}

func (t target) key() client.ObjectKey {
	if t.kind.cluster {
		return client.ObjectKey{Name: t.name}
	}
	return client.ObjectKey{Namespace: t.namespace, Name: t.name}
}

func (t target) request(verb string) request {
	return request{verb: verb, kind: t.kind, namespace: t.namespace, name: t.name}
}

// target reads "kind/name".
func (p *plugin) target(arg string) (target, error) {
	word, name, _ := strings.Cut(arg, "/")
	if word == "" || name == "" || strings.Contains(name, "/") {
		return target{}, fmt.Errorf("%q names no object: give KIND/NAME, such as tenant/contoso", arg)
	}
	i := slices.IndexFunc(ours, func(k kind) bool { return k.named(word) })
	if i < 0 {
		var names []string
		for _, k := range ours {
			names = append(names, k.singular())
		}
		return target{}, fmt.Errorf("%q is no kind of Bailiwick: give one of %s", word, strings.Join(names, ", "))
	}
	namespace, err := p.namespace()
	return target{kind: ours[i], namespace: namespace, name: name}, err
}

// completeTarget offers the kinds, and then the objects of a kind.
func (p *plugin) completeTarget(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	word, name, slash := strings.Cut(typed, "/")
	var offered []cobra.Completion
	for _, k := range ours {
		switch {
		case !slash && strings.HasPrefix(k.singular(), word):
			offered = append(offered, k.singular()+"/")
		case slash && k.named(word):
			for _, found := range p.complete(cmd.Context(), k, name) {
				offered = append(offered, word+"/"+found)
			}
		}
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	if !slash {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return offered, directive
}

// completeTenant offers the tenants of the namespace.
func (p *plugin) completeTenant(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return p.complete(cmd.Context(), tenants, typed), cobra.ShellCompDirectiveNoFileComp
}

// completeNamespace offers the namespaces.
func (p *plugin) completeNamespace(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	namespaces := kind{name: "Namespace", resource: "namespaces", version: "v1", cluster: true}
	return p.complete(cmd.Context(), namespaces, typed), cobra.ShellCompDirectiveNoFileComp
}

// complete gives the names of objects that begin as typed; none when they cannot be read.
func (p *plugin) complete(ctx context.Context, k kind, typed string) []string {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	namespace, err := p.namespace()
	if err != nil {
		return nil
	}
	c, err := p.connect()
	if err != nil {
		return nil
	}
	list, err := k.of(c.metadata, namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for i := range list.Items {
		if name := list.Items[i].Name; strings.HasPrefix(name, typed) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
