// Package kube talks to the API server of the demonstration: through kubectl where a
// person would, and through client-go where the demonstration watches or measures.
package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// The resources that the demonstration reads.
var (
	Tenants         = schema.GroupVersionResource{Group: "mail.bailiwick.dev", Version: "v1alpha1", Resource: "tenants"}
	Regions         = schema.GroupVersionResource{Group: "mail.bailiwick.dev", Version: "v1alpha1", Resource: "mailboxregions"}
	Services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	ConfigMaps      = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	Secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	Pods            = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Volumes         = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}
	SharedMailboxes = schema.GroupVersionResource{Group: "mail.bailiwick.dev", Version: "v1alpha1", Resource: "sharedmailboxes"}
)

// Cluster is an API server with the administrator's rights.
type Cluster struct {
	kubectl    string
	kubeconfig string
	config     *rest.Config
	// Dynamic reads and writes any object.
	Dynamic dynamic.Interface
}

// Connect returns a cluster for a kubectl binary and a kubeconfig file.
func Connect(kubectl, kubeconfig string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %q: %w", kubeconfig, err)
	}
	const enough = 1000 // the demonstration alone must not wait for its own client
	config.QPS, config.Burst = enough, enough
	config.WarningHandler = rest.NoWarnings{} // Versions reads deprecated kinds as well
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %q: %w", kubeconfig, err)
	}
	return &Cluster{kubectl: kubectl, kubeconfig: kubeconfig, config: config, Dynamic: client}, nil
}

// Kubeconfig returns the path of the kubeconfig file.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// ExitError tells how kubectl ended, with what it printed.
type ExitError struct {
	Args   []string
	Code   int
	Output string
}

// Error implements error.
func (e *ExitError) Error() string {
	return fmt.Sprintf("kubectl %s: exit status %d: %s", strings.Join(e.Args, " "), e.Code, strings.TrimSpace(e.Output))
}

// Kubectl runs kubectl and returns what it printed. An exit status other than 0 is an
// *ExitError.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.KubectlInput(ctx, nil, args...)
}

// KubectlInput is Kubectl with standard input.
func (c *Cluster) KubectlInput(ctx context.Context, input []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.kubectl, args...) //nolint:gosec // kubectl of the plane with the demonstration's own arguments
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	cmd.Stdin = bytes.NewReader(input)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return out.String(), &ExitError{Args: args, Code: exit.ExitCode(), Output: problems.String() + out.String()}
	case err != nil:
		return "", fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return out.String(), nil
}

// Get reads one object into a typed value.
func Get[T any](ctx context.Context, c *Cluster, kind schema.GroupVersionResource, namespace, name string) (*T, error) {
	object, err := c.Dynamic.Resource(kind).Namespace(namespace).Get(ctx, name, getOptions)
	if err != nil {
		return nil, fmt.Errorf("get %s %s/%s: %w", kind.Resource, namespace, name, err)
	}
	return convert[T](object)
}

// List reads all objects of a kind into typed values. An empty namespace means all.
func List[T any](ctx context.Context, c *Cluster, kind schema.GroupVersionResource, namespace, selector string) ([]T, error) {
	options := listOptions
	options.LabelSelector = selector
	list, err := c.Dynamic.Resource(kind).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
	}
	all := make([]T, 0, len(list.Items))
	for i := range list.Items {
		item, err := convert[T](&list.Items[i])
		if err != nil {
			return nil, err
		}
		all = append(all, *item)
	}
	return all, nil
}

func convert[T any](object *unstructured.Unstructured) (*T, error) {
	value := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, value); err != nil {
		return nil, fmt.Errorf("decode %s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
	}
	return value, nil
}

// Condition returns a condition of a status, or an empty one.
func Condition(status v1alpha1.ReconcileStatus, kind string) (value, reason, message string) {
	for _, c := range status.Conditions {
		if c.Type == kind {
			return string(c.Status), c.Reason, c.Message
		}
	}
	return "", "", ""
}

// Versions returns the resourceVersion of every object but those that move on their
// own.
func (c *Cluster) Versions(ctx context.Context) (map[string]string, error) {
	versions := map[string]string{}
	err := c.objects(ctx, isStill, func(name string, object *unstructured.Unstructured) error {
		versions[name] = object.GetResourceVersion()
		return nil
	})
	return versions, err
}

// isStill reports whether objects of a resource only change when somebody changes them;
// nodes and leases beat, events expire.
func isStill(resource string) bool {
	switch resource {
	case "leases", "events", "componentstatuses", "nodes":
		return false
	}
	return true
}

// Objects returns every object, whatever its kind, as JSON.
func (c *Cluster) Objects(ctx context.Context) (map[string][]byte, error) {
	documents := map[string][]byte{}
	err := c.objects(ctx, func(string) bool { return true }, func(name string, object *unstructured.Unstructured) error {
		document, err := object.MarshalJSON()
		documents[name] = document
		return err
	})
	return documents, err
}

// objects lists every object of the resources that wanted agrees to.
func (c *Cluster) objects(ctx context.Context, wanted func(resource string) bool, use func(string, *unstructured.Unstructured) error) error {
	client, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return fmt.Errorf("discover: %w", err)
	}
	lists, err := client.ServerPreferredResources()
	if err != nil {
		return fmt.Errorf("discover: %w", err)
	}
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return fmt.Errorf("discover: %w", err)
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || !wanted(resource.Name) {
				continue
			}
			if err := c.objectsOf(ctx, group.WithResource(resource.Name), use); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) objectsOf(ctx context.Context, kind schema.GroupVersionResource, use func(string, *unstructured.Unstructured) error) error {
	list, err := c.Dynamic.Resource(kind).List(ctx, listOptions)
	if err != nil {
		return fmt.Errorf("list %s: %w", kind.Resource, err)
	}
	for i := range list.Items {
		item := &list.Items[i]
		if err := use(kind.Group+"/"+kind.Resource+" "+item.GetNamespace()+"/"+item.GetName(), item); err != nil {
			return err
		}
	}
	return nil
}

// Poll calls probe until it returns nil or the context ends; the error of the last call
// tells what was still missing.
func Poll(ctx context.Context, every time.Duration, probe func(context.Context) error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var last error
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}
