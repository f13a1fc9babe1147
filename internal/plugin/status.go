package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The formats of -o.
const (
	formatJSON = "json"
	formatYAML = "yaml"
)

// choice is which tenants are shown.
type choice struct {
	// namespace of the tenants; all when it is empty.
	namespace string
	// keys of single tenants; those of the namespace when there are none.
	keys []client.ObjectKey
}

func (p *plugin) newStatus() *cobra.Command {
	var (
		everywhere bool
		format     string
	)
	cmd := &cobra.Command{
		Use:   "status [[NAMESPACE/]TENANT...]",
		Short: "Show how tenants stand, with all that they rest on",
		Long: `Show how tenants stand, with all that they rest on.

What is not ready comes first: the causes with what to do about each, then a tree from
each tenant to its identity, domains, regions, cloud, policies, shared mailboxes and
labels.`,
		Example: `  # the tenants of all namespaces
  kubectl bailiwick status -A

  # one tenant
  kubectl bailiwick status contoso -n contoso`,
		ValidArgsFunction: p.completeTenant,
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace, err := p.namespace()
			if err != nil {
				return err
			}
			which, err := choose(namespace, everywhere, args)
			if err != nil {
				return err
			}
			return p.status(cmd.Context(), which, format)
		},
	}
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "show the tenants of all namespaces")
	cmd.Flags().StringVarP(&format, "output", "o", "", "print json or yaml")
	offer(cmd, "output", cobra.FixedCompletions([]cobra.Completion{formatJSON, formatYAML}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// choose reads which tenants are meant.
func choose(namespace string, everywhere bool, args []string) (choice, error) {
	if everywhere && len(args) > 0 {
		return choice{}, errors.New("--all-namespaces shows every tenant: leave it out to choose some by name")
	}
	if everywhere {
		return choice{}, nil
	}
	which := choice{namespace: namespace}
	for _, arg := range args {
		key := client.ObjectKey{Namespace: namespace, Name: arg}
		if before, after, ok := strings.Cut(arg, "/"); ok {
			key = client.ObjectKey{Namespace: before, Name: after}
		}
		if key.Namespace == "" || key.Name == "" || strings.Contains(key.Name, "/") {
			return choice{}, fmt.Errorf("%q names no tenant: give TENANT or NAMESPACE/TENANT, such as contoso", arg)
		}
		which.keys = append(which.keys, key)
	}
	return which, nil
}

// status prints the trees of the tenants that are chosen.
func (p *plugin) status(ctx context.Context, which choice, format string) error {
	if format != "" && format != formatJSON && format != formatYAML {
		return fmt.Errorf("--output: %q is neither %s nor %s", format, formatJSON, formatYAML)
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	f, err := read(ctx, c.reader, which)
	if err != nil {
		return err
	}
	trees := f.trees()
	switch {
	case format != "":
		return p.print(format, forest{Tenants: trees})
	case len(trees) > 0:
		_, err = p.Out.Write(p.painter().trees(trees))
	case which.namespace == "":
		_, err = fmt.Fprintln(p.ErrOut, "There are no tenants.")
	default:
		_, err = fmt.Fprintf(p.ErrOut, "There are no tenants in namespace %q: look into another with -n, or into all with -A.\n", which.namespace)
	}
	return err
}

// forest is what is printed for programs.
type forest struct {
	// Tenants are the trees, what is not ready first.
	Tenants []Node `json:"tenants"`
}

// print writes a value in one of the formats.
func (p *plugin) print(format string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err == nil && format == formatYAML {
		raw, err = yaml.JSONToYAML(raw)
	} else {
		raw = append(raw, '\n')
	}
	if err != nil {
		return fmt.Errorf("print %s: %w", format, err)
	}
	_, err = p.Out.Write(raw)
	return err
}
