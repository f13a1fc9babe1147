package world

import (
	"context"
	"fmt"
	"os"
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
	config, err := w.plane.Kubeconfig("system:node:"+nodeName, "system:nodes", "system:masters")
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(w.Folder, "node.kubeconfig")
	if err := os.WriteFile(kubeconfig, config, 0o600); err != nil {
		return fmt.Errorf("kubeconfig of the node: %w", err)
	}
	child, err := process.Start("localnode", w.program("localnode"), filepath.Join(w.Folder, "localnode.log"), nil,
		"--kubeconfig="+kubeconfig, "--name="+nodeName, "--image="+imageName+"="+w.program("bailiwick"),
		"--data-dir="+filepath.Join(w.Folder, "node"))
	if err != nil {
		return err
	}
	w.undo.push("node", child.Stop)
	ctx, cancel := context.WithTimeoutCause(ctx, nodeTimeout, fmt.Errorf("the node is not ready after %s", nodeTimeout))
	defer cancel()
	return kube.Poll(ctx, pollEvery, func(ctx context.Context) error {
		select {
		case <-child.Exited():
			return child.Failure()
		default:
		}
		_, err := w.Cluster.Kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=1s", "node/"+nodeName)
		return err
	})
}
