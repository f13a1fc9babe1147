package plugin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// workloads are the kinds of objects in which the operator and the sync servers run.
var workloads = []kind{
	{name: "Deployment", resource: "deployments", group: "apps", version: "v1"},
	{name: "StatefulSet", resource: "statefulsets", group: "apps", version: "v1"},
	{name: "Pod", resource: "pods", version: "v1"},
}

var events = kind{name: "Event", resource: "events", group: "events.k8s.io", version: "v1"}

// labelName is the label by which pods of the operator and of the sync servers are told
// from others.
const labelName = "app.kubernetes.io/name"

// index is what a report says of itself.
type index struct {
	// Created is when the report was made.
	Created string `json:"created"`
	// Plugin is the release of the plugin.
	Plugin string `json:"plugin"`
	// Kubernetes is the release of the API server.
	Kubernetes string `json:"kubernetes,omitempty"`
	// Namespace that the report is limited to.
	Namespace string `json:"namespace,omitempty"`
	// Objects counts those of each resource.
	Objects map[string]int `json:"objects,omitempty"`
	// Events counts the events.
	Events int `json:"events"`
	// Unread says what could not be read, and why.
	Unread []string `json:"unread,omitempty"`
}

func (i *index) objects() int {
	total := 0
	for _, n := range i.Objects {
		total += n
	}
	return total
}

// bundle is an archive of YAML files.
type bundle struct {
	gzip     *gzip.Writer
	tar      *tar.Writer
	root     string
	now      time.Time
	index    index
	redactor redactor
	// told are the workloads in it, of which the events are wanted.
	told map[client.ObjectKey]bool
}

func newBundle(w io.Writer, root string, now time.Time) *bundle {
	b := &bundle{gzip: gzip.NewWriter(w), root: root, now: now, told: map[client.ObjectKey]bool{}}
	b.tar = tar.NewWriter(b.gzip)
	return b
}

// add writes a file.
func (b *bundle) add(name string, content any) error {
	const private = 0o600
	raw, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(b.root, name), Size: int64(len(raw)), Mode: private, ModTime: b.now}
	if err := b.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.Copy(b.tar, bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// close ends the archive.
func (b *bundle) close() error { return errors.Join(b.tar.Close(), b.gzip.Close()) }

// gather fills the archive with what there is in a namespace, or in all when it is empty.
func (b *bundle) gather(ctx context.Context, c *cluster, namespace string) error {
	b.index.Objects = map[string]int{}
	for _, k := range ours {
		err := b.each(ctx, c.reader, k, namespace, func(u *unstructured.Unstructured) error {
			return b.object("objects", k, u)
		})
		if err != nil {
			return err
		}
	}
	for _, k := range workloads {
		err := b.each(ctx, c.reader, k, namespace, func(u *unstructured.Unstructured) error {
			if !runsUs(u) {
				return nil
			}
			b.told[client.ObjectKey{Namespace: u.GetNamespace(), Name: k.name + "/" + u.GetName()}] = true
			return b.object("workloads", k, u)
		})
		if err != nil {
			return err
		}
	}
	if err := b.events(ctx, c.reader, namespace); err != nil {
		return err
	}
	return b.conclude(c)
}

// conclude adds what the archive says of itself.
func (b *bundle) conclude(c *cluster) error {
	b.redactor.file = "index.yaml"
	if version, err := c.discovery.ServerVersion(); err == nil {
		b.index.Kubernetes = version.GitVersion
	}
	for i, text := range b.index.Unread {
		b.index.Unread[i] = b.redactor.text(fmt.Sprintf("unread[%d]", i), text)
	}
	return errors.Join(b.add("index.yaml", b.index), b.add("redactions.yaml", b.redactor.list))
}

// each calls use with each object of a kind. That the objects may not be read is noted,
// and is no reason to do without the others.
func (b *bundle) each(ctx context.Context, r client.Reader, k kind, namespace string, use func(*unstructured.Unstructured) error) error {
	const page = 500
	if k.cluster {
		namespace = ""
	}
	q := request{verb: "list", kind: k, namespace: namespace}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.gvk().GroupVersion().WithKind(k.name + "List"))
	for {
		err := r.List(ctx, list, client.InNamespace(namespace), client.Limit(page), client.Continue(list.GetContinue()))
		if apierrors.IsForbidden(err) {
			b.index.Unread = append(b.index.Unread, q.failed(err).Error())
			return nil
		}
		if err != nil {
			return q.failed(err)
		}
		for i := range list.Items {
			if err := use(&list.Items[i]); err != nil {
				return err
			}
		}
		if list.GetContinue() == "" {
			return nil
		}
	}
}

// object adds an object in a folder.
func (b *bundle) object(folder string, k kind, u *unstructured.Unstructured) error {
	b.redactor.file = path.Join(folder, k.resource, u.GetNamespace(), u.GetName()+".yaml")
	b.redactor.fields("", u.Object)
	b.index.Objects[k.resource]++
	return b.add(b.redactor.file, u.Object)
}

// events adds the events of what is in the archive, by object and then by age.
func (b *bundle) events(ctx context.Context, r client.Reader, namespace string) error {
	var list []*unstructured.Unstructured
	err := b.each(ctx, r, events, namespace, func(u *unstructured.Unstructured) error {
		if b.concerns(u) {
			list = append(list, u.DeepCopy())
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(x, y *unstructured.Unstructured) int { return slices.Compare(eventKey(x), eventKey(y)) })
	items := make([]any, 0, len(list))
	for _, u := range list {
		items = append(items, u.Object)
	}
	content := map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	b.index.Events = len(items)
	b.redactor.file = "events.yaml"
	b.redactor.fields("", content)
	return b.add(b.redactor.file, content)
}

// regarding is a field of what an event is about.
func regarding(event *unstructured.Unstructured, field string) string {
	value, _, _ := unstructured.NestedString(event.Object, "regarding", field)
	return value
}

func eventKey(u *unstructured.Unstructured) []string {
	return []string{
		regarding(u, "namespace"), regarding(u, "kind"), regarding(u, "name"),
		u.GetCreationTimestamp().UTC().Format(time.RFC3339), u.GetNamespace(), u.GetName(),
	}
}

// concerns tells whether an event is about something that is in the archive.
func (b *bundle) concerns(event *unstructured.Unstructured) bool {
	group, _, _ := strings.Cut(regarding(event, "apiVersion"), "/")
	workload := client.ObjectKey{Namespace: regarding(event, "namespace"), Name: regarding(event, "kind") + "/" + regarding(event, "name")}
	return group == v1alpha1.GroupVersion.Group || b.told[workload]
}

// runsUs tells whether a workload is one of the operator or of the sync servers.
func runsUs(u *unstructured.Unstructured) bool {
	label := u.GetLabels()[labelName]
	if u.GetKind() != "Pod" {
		label, _, _ = unstructured.NestedString(u.Object, "spec", "template", "metadata", "labels", labelName)
	}
	return label == "bailiwick-operator" || label == "bailiwick-sync"
}
