package world

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/process"
)

const (
	// imageName is the image of config/default, which the node runs as a local program.
	imageName = "ghcr.io/bailiwick-dev/bailiwick"
	nodeName  = "local"
	// nodeTimeout bounds the wait for the node.
	nodeTimeout = time.Minute
)

// startNode starts the node that runs pods as processes.
func (w *World) startNode(ctx context.Context) error {
	child, err := process.Start("localnode", w.program("localnode"), filepath.Join(w.Folder, "localnode.log"), nil,
		"--kubeconfig="+w.Cluster.Kubeconfig(), "--node-name="+nodeName, "--image="+imageName+"="+w.program("bailiwick"),
		"--data-dir="+w.nodeFolder())
	if err != nil {
		return err
	}
	w.undo.push("node", child.Stop)
	w.node = child
	w.guard.watch(child.Exited(), child.Failure)
	ctx, cancel := context.WithTimeoutCause(ctx, nodeTimeout, fmt.Errorf("the node is not ready after %s", nodeTimeout))
	defer cancel()
	return kube.Poll(ctx, pollEvery, func(ctx context.Context) error {
		_, err := w.Cluster.Kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=1s", "node/"+nodeName)
		return err
	})
}
