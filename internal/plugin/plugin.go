// Package plugin is the kubectl plugin of Bailiwick: how tenants stand and why, pausing
// and resuming, reconciling on request, and a report for those who help.
//
// It reads objects and writes nothing but annotations: what is declared comes from Git.
package plugin

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// The values of --color.
const (
	colourAuto   = "auto"
	colourAlways = "always"
	colourNever  = "never"
)

// plugin is what the subcommands share.
type plugin struct {
	genericiooptions.IOStreams

	version string
	flags   *genericclioptions.ConfigFlags
	colour  string
	// connect reaches the cluster that the flags choose.
	connect func() (*cluster, error)
	// now is the clock.
	now func() time.Time
	// getenv reads the environment.
	getenv func(string) string
}

// NewCommand makes the plugin's command. The version is the release that it tells.
func NewCommand(version string, streams genericiooptions.IOStreams) *cobra.Command {
	p := &plugin{IOStreams: streams, version: version, flags: genericclioptions.NewConfigFlags(true), now: time.Now, getenv: os.Getenv}
	p.connect = p.dial
	return p.command()
}

func (p *plugin) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-bailiwick",
		Short:         "See how sovereign mail stands, and why",
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl bailiwick"},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch p.colour {
			case colourAuto, colourAlways, colourNever:
				return nil
			default:
				return fmt.Errorf("--color: %q is none of %s, %s and %s", p.colour, colourAuto, colourAlways, colourNever)
			}
		},
	}
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.ErrOut)
	set := root.PersistentFlags()
	p.flags.AddFlags(set)
	set.StringVar(&p.colour, "color", colourAuto, "colour the output: auto (on a terminal, unless $NO_COLOR is set), always or never")
	offer(root, "color", cobra.FixedCompletions([]cobra.Completion{colourAuto, colourAlways, colourNever}, cobra.ShellCompDirectiveNoFileComp))
	offer(root, "namespace", p.completeNamespace)
	root.AddCommand(p.newStatus(), p.newReconcile(), p.newPause(), p.newResume(), p.newReport(), p.newVersion())
	return root
}

// offer has the values of a flag completed. That the flag is not there is a mistake of
// this program, which every start would show.
func offer(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

func (p *plugin) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the release of the plugin",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return p.say("kubectl-bailiwick %s %s %s/%s", p.version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// say prints a line.
func (p *plugin) say(format string, values ...any) error {
	_, err := fmt.Fprintf(p.Out, format+"\n", values...)
	return err
}

// painter is how the output is painted.
func (p *plugin) painter() painter {
	switch p.colour {
	case colourAlways:
		return painter{colour: true}
	case colourNever:
		return painter{}
	}
	file, ok := p.Out.(*os.File)
	return painter{colour: ok && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))}
}

// namespace is that of --namespace, or the one of the context.
func (p *plugin) namespace() (string, error) {
	namespace, _, err := p.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", unusable(err)
	}
	return namespace, nil
}
