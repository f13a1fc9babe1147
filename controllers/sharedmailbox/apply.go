package sharedmailbox

import (
	"context"
	"time"

	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// apply makes the decision so: the status is all that there is to write. It gives the
// time after which to look again.
func (c *Controller) apply(ctx context.Context, f *Facts, d Decision) (time.Duration, error) {
	pending := d.pending() && belonging.Pending(f.Mailbox.Status.Conditions)
	if wait := c.settling.Wait(f.Mailbox, f.Now.Time, pending); wait > 0 {
		return wait, nil
	}
	return 0, c.writer.Status(ctx, f.Mailbox, f.Mailbox.Status, report(f, d))
}
