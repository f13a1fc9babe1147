// Command localnode is a Kubernetes node that runs the containers of pods as processes of this machine, each pod on a
// loopback address of its own. It needs no root, no container runtime and no network.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/virtual-kubelet/virtual-kubelet/log"
	vkslog "github.com/virtual-kubelet/virtual-kubelet/log/slog"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/node"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/sandbox"
)

func main() {
	sandbox.Shim()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "localnode:", err)
		os.Exit(1)
	}
}

// command is the command line.
func command() *cobra.Command {
	config := node.Config{}
	var images []string
	var verbose bool
	cmd := &cobra.Command{
		Use:           "localnode",
		Short:         "Run pods as processes of this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			catalog, err := image.Parse(images)
			if err != nil {
				return err
			}
			config.Images = catalog
			config.Log = logger(verbose)
			log.L = vkslog.FromSlog(config.Log.With("part", "virtual-kubelet"))
			return node.Run(cmd.Context(), config)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.Kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "file that says how to reach the control plane, with rights of an administrator")
	flags.StringVar(&config.Name, "node-name", "localnode", "name of the node")
	flags.StringArrayVar(&images, "image", nil, "REF=PATH: run the binary PATH for images whose name is or begins with REF; PATH \"host\" runs the machine's own programs (repeatable)")
	flags.BoolVar(&config.Rootless, "rootless", false, "make mount paths true by rewriting arguments and environment, even where namespaces are allowed")
	flags.StringVar(&config.DataDir, "data-dir", "", "folder for everything that the node writes")
	flags.StringVar(&config.Loopback, "loopback", "127.66.0.0/16", "range of the addresses of pods")
	flags.StringVar(&config.Services, "services", "127.67.0.0/16", "range of the addresses of Services of type LoadBalancer")
	flags.Uint16Var(&config.Port, "port", 0, "port of the node's API on the first address of the range; 0 chooses a free one")
	flags.StringVar(&config.ClientCA, "client-ca", "", "file with the authorities of clients of the node's API (default those of the kubeconfig)")
	flags.DurationVar(&config.Grace, "grace", 5*time.Second, "time that processes have to end when the node stops")
	flags.BoolVar(&verbose, "verbose", false, "tell more")
	_ = cmd.MarkFlagRequired("data-dir") // the flag is defined above, which is all that can go wrong
	return cmd
}

func logger(verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
