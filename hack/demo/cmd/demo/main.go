// Command demo runs two sovereign clouds on this machine: a real Kubernetes control
// plane, a node that runs pods as processes, the operator, three mailbox regions, local
// OpenID providers, and people with mail. It needs Go and no root, stays within
// 127.0.0.0/8, and removes everything that it started.
//
//	demo               runs until Ctrl-C
//	demo --mode=check  asserts every fact, stops everything, and exits with 0 or 1
//	demo -o json       prints how to use everybody's mail as one JSON document
//	demo --token=…     prints an access token of a demonstration that runs
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
	"github.com/bailiwick-dev/bailiwick/hack/demo/clients"
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

// outputText and outputJSON are the forms in which the command says what there is.
const (
	outputText = "text"
	outputJSON = "json"
)

// options are the flags of the command.
type options struct{ mode, output, token, issuerCA string }

func main() {
	var o options
	flag.StringVar(&o.mode, "mode", modeStay, `what to do once all is ready: "stay" until Ctrl-C, or "check" every fact and stop`)
	flag.StringVar(&o.output, "o", outputText, `how to say what there is: "text" for people, or "json" for programs, with the progress on standard error`)
	flag.StringVar(&o.token, "token", "", "print an access token for this address, of the demonstration that runs, and nothing else")
	flag.StringVar(&o.issuerCA, "issuer-ca", "", "with --token: the file of the certificate that signed the OpenID provider's")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := o.run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run does what the flags say. Progress goes to out, where a person reads it, or to
// messages, where a program reads out.
func (o options) run(ctx context.Context, out, messages io.Writer) error {
	switch {
	case o.token != "":
		return printToken(ctx, o.token, o.issuerCA, out)
	case o.mode != modeStay && o.mode != modeCheck:
		return fmt.Errorf("mode %q: choose %q or %q", o.mode, modeStay, modeCheck)
	case o.output == outputText:
		messages = out
	case o.output != outputJSON:
		return fmt.Errorf("output %q: choose %q or %q", o.output, outputText, outputJSON)
	}
	var node clients.Node
	if o.mode == modeCheck {
		found, err := clients.Find(ctx)
		if err != nil {
			return err
		}
		node = found
	}
	return demonstrate(ctx, progress.New(messages), func(w *world.World) error {
		counts, err := fill(ctx, w)
		if err != nil {
			return err
		}
		if err := o.present(ctx, w, out); err != nil {
			return err
		}
		if o.mode == modeCheck {
			return check.Run(ctx, w, node, counts)
		}
		return stay(ctx, w, messages)
	})
}

// printToken prints a new access token.
func printToken(ctx context.Context, email, issuerCA string, out io.Writer) error {
	token, err := world.NewToken(ctx, email, issuerCA)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, token); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// demonstrate starts the demonstration, uses it, and stops it.
func demonstrate(ctx context.Context, log *progress.Log, use func(*world.World) error) (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("this system is %s: the demonstration needs Linux, where every address of 127.0.0.0/8 is this machine", runtime.GOOS)
	}
	root, err := binary.Root(".")
	if err != nil {
		return err
	}
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
	return use(w)
}

// fill fills the mailboxes and returns how many messages each resident has.
func fill(ctx context.Context, w *world.World) (map[string]int, error) {
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
	return counts, err
}

// present says what there is: to people, or to programs.
func (o options) present(ctx context.Context, w *world.World, out io.Writer) error {
	if o.output == outputText {
		return w.Present(ctx, out)
	}
	path, document, err := w.WriteAccess(ctx)
	if err != nil {
		return err
	}
	w.Log.Sayf("how to use the mail is in %s", path)
	if _, err := out.Write(document); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// stay waits until the demonstration is to stop, or cannot go on.
func stay(ctx context.Context, w *world.World, messages io.Writer) error {
	if _, err := io.WriteString(messages, "\nCtrl-C stops and removes everything.\n"); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-w.Failed():
		return w.Failure()
	}
}
