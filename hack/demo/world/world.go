// Package world starts and stops everything that the demonstration runs: a control
// plane, a node, the operator, the OpenID providers, and what config/samples declares.
package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/binary"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/process"
	"github.com/bailiwick-dev/bailiwick/hack/demo/progress"
	"github.com/bailiwick-dev/bailiwick/hack/demo/survivor"
	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

// closeTimeout bounds the end of the whole world.
const closeTimeout = 45 * time.Second

// World is everything that runs.
type World struct {
	// Root is the folder of the repository.
	Root string
	// Folder is the temporary folder of this run.
	Folder string
	// Log tells what happens.
	Log *progress.Log
	// Cluster is the API server.
	Cluster *kube.Cluster
	// Issuers are the OpenID providers by cloud.
	Issuers map[string]*identity.Issuer
	// Authority signed the certificates of the issuers.
	Authority *identity.Authority

	assets  string
	plane   *controlplane.Plane
	node    *process.Child
	guard   *guard
	undo    stack
	regions map[cast.Object]Region
}

// Start builds and starts everything, up to tenants and regions that are as they should
// be. What it started is stopped again when it fails.
func Start(ctx context.Context, root string, log *progress.Log) (*World, error) {
	w := &World{
		Root: root, Log: log, Issuers: map[string]*identity.Issuer{}, regions: map[cast.Object]Region{}, guard: newGuard(),
	}
	starting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	release := w.guard.tell(cancel)
	defer release()
	if err := w.start(starting); err != nil {
		switch {
		case ctx.Err() != nil:
			err = fmt.Errorf("interrupted: %w", context.Cause(ctx))
		case w.Failure() != nil:
			err = w.Failure()
		}
		return nil, errors.Join(err, w.Close(ctx))
	}
	return w, nil
}

func (w *World) start(ctx context.Context) error {
	folder, err := newFolder(os.TempDir())
	if err != nil {
		return err
	}
	w.Folder = folder.path
	w.undo.push("temporary folder", func(context.Context) error { return folder.remove() })
	steps := []struct {
		what string
		run  func(context.Context) error
	}{
		{"start the OpenID providers", w.startIssuers},
		{"find or compile the control plane", w.findPlane},
		{"build the programs and start the control plane", w.startPlane},
		{"start the node", w.startNode},
		{"install the operator (kubectl apply --server-side -k config/default)", w.install},
		{"apply config/samples", w.applySamples},
		{"wait for regions and tenants", w.await},
	}
	for _, s := range steps {
		if err := w.Log.Step(ctx, s.what, s.run); err != nil {
			return err
		}
	}
	return nil
}

// program returns the path of a program of this run.
func (w *World) program(name string) string { return filepath.Join(w.Folder, "bin", name) }

// findPlane compiles the control plane once on a machine. That takes all of its memory
// and minutes, so nothing else runs beside it.
func (w *World) findPlane(ctx context.Context) error {
	assets, err := controlplane.Assets(ctx, w.Log)
	w.assets = assets
	return err
}

// build compiles the programs of this repository.
func (w *World) build(ctx context.Context) error {
	builds := []struct{ module, path, name string }{
		{w.Root, "./cmd/bailiwick", "bailiwick"},
		{filepath.Join(w.Root, "hack", "localnode"), ".", "localnode"},
	}
	for _, b := range builds {
		if err := binary.Build(ctx, b.module, b.path, w.program(b.name)); err != nil {
			return err
		}
	}
	return nil
}

// startPlane starts the control plane and, beside it, builds the programs.
func (w *World) startPlane(ctx context.Context) error {
	var waiting sync.WaitGroup
	var planeErr, buildErr error
	waiting.Go(func() {
		w.plane, planeErr = controlplane.Start(ctx, controlplane.Options{Assets: w.assets, Progress: w.Log})
	})
	waiting.Go(func() { buildErr = w.build(ctx) })
	waiting.Wait()
	if w.plane != nil {
		w.undo.push("control plane", func(context.Context) error { return w.plane.Stop() })
		w.guard.watch(w.plane.Failed(), w.plane.Err)
	}
	if err := errors.Join(planeErr, buildErr); err != nil {
		return err
	}
	cluster, err := kube.Connect(w.plane.Binary("kubectl"), w.plane.AdminKubeconfig())
	w.Cluster = cluster
	return err
}

func (w *World) startIssuers(ctx context.Context) error {
	authority, err := identity.NewAuthority("Bailiwick demonstration identity")
	if err != nil {
		return err
	}
	w.Authority = authority
	for _, member := range []cast.Issuer{cast.Worldwide(), cast.GCCHigh()} {
		issuer, err := identity.Start(ctx, identity.Config{
			Address: member.Address, Audience: cast.Audience, Users: member.Users, Authority: authority,
		})
		if err != nil {
			return fmt.Errorf("OpenID provider of cloud %q: %w (does another demonstration run?)", member.Cloud, err)
		}
		w.undo.push("OpenID provider of cloud "+member.Cloud, issuer.Close)
		w.Issuers[member.Cloud] = issuer
	}
	return nil
}

// Watch remembers the programs and folders of this run, to look after Close whether any
// is left.
func (w *World) Watch() (*survivor.Watch, error) {
	programs := []string{w.program("bailiwick"), w.program("localnode")}
	return survivor.New(programs, []string{w.Folder, w.PlaneFolder()})
}

// Failed is closed when the control plane or the node ended on its own.
func (w *World) Failed() <-chan struct{} { return w.guard.failed }

// Failure says why Failed is closed; nil while it is not.
func (w *World) Failure() error { return w.guard.err() }

// Close stops everything and removes every file of the run. It does so also when ctx has
// ended, which is the usual reason to call it.
func (w *World) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	w.guard.stop() // from here on, ends are wanted
	return w.undo.unwind(ctx)
}
