// Command kubectl-bailiwick is the kubectl plugin of Bailiwick: put it on the PATH and
// run "kubectl bailiwick".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bailiwick-dev/bailiwick/internal/plugin"
)

// version is the release; the linker sets it.
var version = "dev"

func main() {
	// What goes wrong is told by errors, libraries need not tell it as well.
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	err := plugin.NewCommand(version, streams).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubectl bailiwick:", err)
		os.Exit(1)
	}
}
