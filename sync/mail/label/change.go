package label

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// The properties of an Email that this package adds.
const (
	// Property is the id of the label of an Email, or null.
	Property = "sensitivityLabel"
	// JustificationProperty is why a label is lowered or removed. It is written and never read.
	JustificationProperty = "labelJustification"
)

// maxJustification is the most characters of a reason.
const maxJustification = 1000

// Lowers says whether a change takes protection away.
func Lowers(from, to *tenantdoc.Label) bool {
	return from != nil && (to == nil || to.Rank < from.Rank)
}

// CheckChange says why a label may not be replaced by another, or by none; nil when it may.
func CheckChange(from, to *tenantdoc.Label, justification string) *jmap.SetError {
	if utf8.RuneCountInString(justification) > maxJustification {
		return jmap.InvalidProperties(fmt.Sprintf("%s: more than %d characters", JustificationProperty, maxJustification), JustificationProperty)
	}
	if Lowers(from, to) && from.Protection.JustifyDowngrade && strings.TrimSpace(justification) == "" {
		return jmap.InvalidProperties(fmt.Sprintf("%s: label %q is lowered or removed only for a reason: give it here, in 1 to %d characters",
			JustificationProperty, from.Name, maxJustification), JustificationProperty)
	}
	return nil
}

// Downgrade is a label that was lowered or removed.
type Downgrade struct {
	// Tenant is the "namespace/name" of the tenant.
	Tenant string
	// Actor is the account of who did it, Account that of the mailbox. Both are hashes that name nobody.
	Actor, Account string
	// Email is the id of the Email.
	Email string
	// From and To are ids of labels; To is empty when the label was removed.
	From, To string
	// JustificationLength is how many octets the reason has. What it says is content, and stays out of every log.
	JustificationLength int
}

// Audit takes what has to be accounted for. It is called after the change is durable.
type Audit interface {
	// Downgraded records that a label was lowered or removed.
	Downgraded(ctx context.Context, d Downgrade)
}

// LogAudit writes one line for each record.
type LogAudit struct {
	// Log takes the lines.
	Log *slog.Logger
}

// Downgraded implements Audit.
func (a LogAudit) Downgraded(ctx context.Context, d Downgrade) {
	a.Log.LogAttrs(ctx, slog.LevelInfo, "sensitivity label lowered",
		slog.Bool("audit", true), slog.String("tenant", d.Tenant), slog.String("actor", d.Actor), slog.String("account", d.Account),
		slog.String("email", d.Email), slog.String("from", d.From), slog.String("to", d.To), slog.Int("justificationLength", d.JustificationLength))
}
