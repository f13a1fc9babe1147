package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/server"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres"
)

// openEvery and openAtMost bound the pauses between tries to open the store.
const (
	openEvery  = time.Second
	openAtMost = 30 * time.Second
	// checkEvery is how often each part of an open store is asked how it is.
	checkEvery = 10 * time.Second
)

// opener opens the store of a replica.
type opener func(ctx context.Context) (store.Engine, error)

// cellStates tell what an error of a store means to the operator.
var cellStates = []struct {
	err   error
	state tenantdoc.CellState
}{
	{store.ErrFormat, tenantdoc.CellUnsupportedVersion},
	{postgres.ErrAuthentication, tenantdoc.CellAuthenticationFailed},
	{postgres.ErrUnreachable, tenantdoc.CellUnreachable},
	{postgres.ErrVersion, tenantdoc.CellUnsupportedVersion},
	{postgres.ErrDiskFull, tenantdoc.CellDiskFull},
	{postgres.ErrReadOnly, tenantdoc.CellReadOnly},
	{syscall.ENOSPC, tenantdoc.CellDiskFull},
	{syscall.EDQUOT, tenantdoc.CellDiskFull},
	{syscall.EROFS, tenantdoc.CellReadOnly},
}

// cellOf says how a part of the store is, by the error that it gave; nil is well. The
// words of an error are passed on from the embedded store only: those of a server may
// name hosts and users.
func cellOf(name string, err error) tenantdoc.CellReport {
	if err == nil {
		return tenantdoc.CellReport{Cell: name, State: tenantdoc.CellReady}
	}
	for _, known := range cellStates {
		if errors.Is(err, known.err) {
			return tenantdoc.CellReport{Cell: name, State: known.state}
		}
	}
	cell := tenantdoc.CellReport{Cell: name, State: tenantdoc.CellFailed}
	if name == tenantdoc.CellEmbedded {
		cell.Text = err.Error()
	}
	return cell
}

// parts tell of each part of a store, by its name in reports, whether it can be used.
type parts map[string]func(ctx context.Context) error

// partError is why a part of the store cannot be opened.
type partError struct {
	name string
	err  error
}

// Error names the part.
func (e *partError) Error() string { return fmt.Sprintf("%q: %v", e.name, e.err) }

// Unwrap returns the cause.
func (e *partError) Unwrap() error { return e.err }

// unopened says how the store is that could not be opened.
func unopened(err error) tenantdoc.CellReport {
	if part, ok := errors.AsType[*partError](err); ok {
		return cellOf(part.name, err)
	}
	return cellOf(tenantdoc.CellEmbedded, err)
}

// check asks every part.
func (p parts) check(ctx context.Context) []tenantdoc.CellReport {
	cells := make([]tenantdoc.CellReport, 0, len(p))
	for _, name := range slices.Sorted(maps.Keys(p)) {
		cells = append(cells, cellOf(name, p[name](ctx)))
	}
	return cells
}

// storeState is how the store was found last. It is safe for concurrent use.
type storeState struct {
	mu    sync.Mutex
	known []tenantdoc.CellReport
}

// set tells whether the store was found otherwise than before.
func (s *storeState) set(cells ...tenantdoc.CellReport) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = !slices.Equal(s.known, cells)
	s.known = cells
	return changed
}

func (s *storeState) cells() []tenantdoc.CellReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// awaitStore opens the store. A replica in a cluster that cannot open it does not end:
// it would be started again and again, and nobody would be told why. It is not ready,
// reports what is wrong, and tries again until it can. There is no engine, and no error,
// when the context ends before. A replica outside a cluster ends with the error.
func (r *replica) awaitStore(ctx context.Context, open opener) (store.Engine, error) {
	engine, err := r.tryOpen(ctx, open)
	if err == nil || r.flags.documentsNamespace == "" || ctx.Err() != nil {
		return engine, err
	}
	r.logger.Error("the store cannot be opened, trying again", slog.Any("error", err))
	cancellable, stop := context.WithCancel(ctx)
	defer stop()
	group, waiting := errgroup.WithContext(cancellable)
	if err := r.standIn(waiting, group); err != nil {
		return nil, err
	}
	engine = r.openAgain(waiting, open)
	stop()
	if err := group.Wait(); err != nil {
		if engine != nil {
			err = errors.Join(err, engine.Close())
		}
		return nil, err
	}
	return engine, nil
}

func (r *replica) tryOpen(ctx context.Context, open opener) (store.Engine, error) {
	engine, err := open(ctx)
	if err != nil {
		r.found.set(unopened(err))
		return nil, err
	}
	r.found.set(r.parts.check(ctx)...)
	return engine, nil
}

// openStore opens the store that the flags name.
func (r *replica) openStore(ctx context.Context) (engine store.Engine, err error) {
	r.engine, r.parts, err = r.flags.open(ctx)
	return r.engine, err
}

// watchStore has it reported when a part of the store can no longer be used, or can
// again.
func (r *replica) watchStore(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if cells := r.parts.check(ctx); ctx.Err() == nil && r.found.set(cells...) {
			r.keysChanged()
		}
	}
}

// openAgain tries until the store is open, with pauses that grow. There is none when the
// context ends before.
func (r *replica) openAgain(ctx context.Context, open opener) store.Engine {
	for pause := openEvery; ; pause = min(2*pause, openAtMost) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		engine, err := r.tryOpen(ctx, open)
		if err == nil {
			return engine
		}
		r.logger.Error("the store cannot be opened, trying again", slog.Any("error", err), slog.Duration("after", pause))
	}
}

// standIn has a group answer and report while there is no store, until the context ends.
func (r *replica) standIn(ctx context.Context, group *errgroup.Group) error {
	minimumTLS, err := r.flags.tlsVersion()
	if err != nil {
		return err
	}
	follow, reporter, err := r.fromCluster(nil)
	if err != nil {
		return err
	}
	listeners, err := r.listen(ctx)
	if err != nil {
		return err
	}
	group.Go(func() error {
		return server.StandIn(ctx, listeners.https, server.StandInOptions{
			Certificates: r.certs, MinimumTLS: minimumTLS, Check: "store", Reason: "the store cannot be opened", Logger: r.logger,
		})
	})
	if listeners.metrics != nil {
		group.Go(func() error { return server.ServeMetrics(ctx, listeners.metrics, r.registry, r.logger) })
	}
	group.Go(func() error { return follow(ctx) })
	group.Go(func() error { return r.certs.Watch(ctx) })
	group.Go(func() error { reporter.Run(ctx); return nil })
	return nil
}
