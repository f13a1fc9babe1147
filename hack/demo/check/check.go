// Package check asserts, on a running demonstration, every fact that it claims to show.
package check

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/clients"
	"github.com/bailiwick-dev/bailiwick/hack/demo/world"
)

// Run asserts every fact, tells each, and returns an error that names those that do not
// hold. Counts is how many messages each resident's mailbox must hold.
func Run(ctx context.Context, w *world.World, node clients.Node, counts map[string]int) error {
	plain, err := w.HTTP()
	if err != nil {
		return err
	}
	defer plain.CloseIdleConnections()
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &checker{World: w, plain: plain, node: node, counts: counts}
	facts := []struct {
		name string
		hold func(context.Context) (string, error)
	}{
		{"regions", c.regions},
		{"tenants", c.tenants},
		{"refused tenant", c.refusedTenant},
		{"mailboxes", c.mailboxes},
		{"shared mailboxes", c.sharedMailboxes},
		{"mail from outside", c.mailFromOutside},
		{"command line", c.commandLine},
		{"independent clients", c.independentClients},
		{"wrong region", c.wrongRegion},
		{"locality", c.locality},
		{"bad tokens", c.badTokens},
		{"people without a mailbox", c.outsiders},
		{"propagation", c.propagation},
		{"second apply", c.secondApply},
		{"logs", c.logs},
		{"certificate", c.rotation},
		{"retention", c.retention},
		{"deletion", c.deletion}, // last: a deletion cannot be taken back
	}
	var broken []string
	for _, fact := range facts {
		detail, err := fact.hold(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %w", context.Cause(ctx))
		}
		if err != nil {
			broken = append(broken, fact.name)
			w.Log.Sayf("FAIL %s: %v", fact.name, err)
			continue
		}
		w.Log.Sayf("ok   %s: %s", fact.name, detail)
	}
	if len(broken) > 0 {
		return fmt.Errorf("%d of %d facts do not hold: %s", len(broken), len(facts), strings.Join(broken, ", "))
	}
	w.Log.Sayf("all %d facts hold", len(facts))
	return nil
}

// checker asserts facts of one running demonstration.
type checker struct {
	*world.World

	plain  *http.Client // follows no redirect
	node   clients.Node
	counts map[string]int
}

// resident returns the first resident of a region.
func resident(region cast.Object) cast.Resident {
	for _, r := range cast.Residents() {
		if r.Region == region {
			return r
		}
	}
	return cast.Resident{}
}
