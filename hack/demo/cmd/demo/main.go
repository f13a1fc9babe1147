// Command demo runs two sovereign clouds on this machine: a real Kubernetes control
// plane, a node that runs pods as processes, the operator, three mailbox regions, local
// OpenID providers, and people with mail. It needs Go and no root, stays within
// 127.0.0.0/8, and removes everything that it started.
//
//	demo               runs until Ctrl-C
//	demo --mode=check  asserts every fact, stops everything, and exits with 0 or 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/binary"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/check"
	"github.com/bailiwick-dev/bailiwick/hack/demo/progress"
	"github.com/bailiwick-dev/bailiwick/hack/demo/world"
)

// Modes of the command.
const (
	modeStay  = "stay"
	modeCheck = "check"
)

// survivorGrace is how long processes may take to disappear after they were stopped.
const survivorGrace = 10 * time.Second

func main() {
	mode := flag.String("mode", modeStay, `what to do once all is ready: "stay" until Ctrl-C, or "check" every fact and stop`)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, *mode, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run starts the demonstration, uses it as the mode says, and stops it.
func run(ctx context.Context, mode string, out io.Writer) (err error) {
	if mode != modeStay && mode != modeCheck {
		return fmt.Errorf("mode %q: choose %q or %q", mode, modeStay, modeCheck)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("this system is %s: the demonstration needs Linux, where every address of 127.0.0.0/8 is this machine", runtime.GOOS)
	}
	root, err := binary.Root(".")
	if err != nil {
		return err
	}
	log := progress.New(out)
	w, err := world.Start(ctx, root, log)
	if err != nil {
		return err
	}
	log.Sayf("ready after %.1f s", log.Elapsed().Seconds())
	watch, err := w.Watch()
	defer func() {
		log.Sayf("stopping …")
		err = errors.Join(err, w.Close(ctx))
		if watch != nil {
			err = errors.Join(err, watch.Check(survivorGrace))
		}
		if err == nil {
			log.Sayf("everything that was started is stopped and removed")
		}
	}()
	if err != nil {
		return err
	}
	return use(ctx, w, mode, out)
}

// use fills the mailboxes, prints what there is, and checks it or waits.
func use(ctx context.Context, w *world.World, mode string, out io.Writer) error {
	counts := map[string]int{}
	err := w.Log.Step(ctx, "import mail", func(ctx context.Context) error {
		for _, r := range cast.Residents() {
			count, err := w.ImportCorpus(ctx, r)
			if err != nil {
				return err
			}
			counts[r.Email] = count
			w.Log.Sayf("%d messages for %s in region %s", count, r.Email, r.Region)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.Present(ctx, out); err != nil {
		return err
	}
	if mode == modeCheck {
		return check.Run(ctx, w, counts)
	}
	if _, err := io.WriteString(out, "\nCtrl-C stops and removes everything.\n"); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-w.Failed():
		return w.Failure()
	}
}
