package sharedmailbox

import (
	"reflect"

	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// Decision is what a shared mailbox comes to.
type Decision struct {
	// Paused leaves everything as it is.
	Paused bool
	// Deleting tells that the object goes, and somebody else's finalizer holds it.
	Deleting bool
	// Verdict says whether the tenant can have the mailbox, and where.
	Verdict belonging.Mailbox
	// Given tells that its region is given the mailbox as it is declared.
	Given bool
}

// decide says what a mailbox comes to. It is pure.
func decide(f *Facts) Decision {
	d := Decision{Paused: belonging.Paused(f.Mailbox), Deleting: !f.Mailbox.DeletionTimestamp.IsZero()}
	if d.Paused {
		return d
	}
	d.Verdict = belonging.JudgeMailbox(belonging.FromStatus(f.Tenant), f.Mailbox, f.Rivals)
	if d.Verdict.Served() {
		entry, ok := f.Given[d.Verdict.Region].Mailboxes[d.Verdict.Entry.Account]
		d.Given = ok && reflect.DeepEqual(entry, d.Verdict.Entry)
	}
	return d
}

// pending tells whether nothing is wrong but that the region is not given the mailbox
// yet.
func (d *Decision) pending() bool {
	return !d.Paused && !d.Deleting && d.Verdict.Problem == nil && !d.Given
}
