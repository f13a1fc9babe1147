// Package sharedmailbox reconciles SharedMailbox: it tells whether the tenant can have
// the mailbox, and whether the region in which it lives is given it. The mailbox gets
// to the region within the tenant's document, which the controller of tenants writes.
//
// There is no finalizer: a mailbox that is deleted leaves the document, and with it
// every session, at once, and its mail stays in the region's store. It lies under an
// account that depends on the tenant and the address alone, so that a SharedMailbox of
// the same tenant and address finds it again.
package sharedmailbox

import (
	"reflect"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sharedmailboxes,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sharedmailboxes/status,verbs=patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants,verbs=list;watch

// noun is what messages call a shared mailbox.
const noun = "mailbox"

// Options are what the controller needs to know of its surroundings.
type Options = belonging.Options

// Add registers the controller with a manager.
func Add(mgr manager.Manager, o Options) error { return kind().Add(mgr, o) }

// Conditions gives the conditions of all shared mailboxes to the metric that counts
// them.
func Conditions() conditions.Source { return kind().Conditions() }

func kind() *belonging.Kind[*v1alpha1.SharedMailbox] {
	return &belonging.Kind[*v1alpha1.SharedMailbox]{
		Name: "SharedMailbox", Plural: "shared mailboxes", Controller: "sharedmailbox",
		New:    func() *v1alpha1.SharedMailbox { return &v1alpha1.SharedMailbox{} },
		List:   func() client.ObjectList { return &v1alpha1.SharedMailboxList{} },
		Tenant: func(m *v1alpha1.SharedMailbox) v1alpha1.ObjectName { return m.Spec.Tenant },
		Claim:  func(m *v1alpha1.SharedMailbox) string { return strings.ToLower(string(m.Spec.Address)) },
		Status: func(m *v1alpha1.SharedMailbox) (any, *v1alpha1.ReconcileStatus) {
			return m.Status, &m.Status.ReconcileStatus
		},
		Judge: judge, Record: record,
		Deleted: "nobody is served the mailbox any more; its mail is kept",
	}
}

func judge(f *belonging.Facts[*v1alpha1.SharedMailbox]) belonging.Standing {
	v := belonging.JudgeMailbox(belonging.FromStatus(f.Tenant), f.Object, f.Rivals)
	s := belonging.Standing{Problem: v.Problem, Note: v.Note, Served: belonging.NotAccepted(noun)}
	if !v.Served() {
		return s
	}
	entry, given := f.Given[v.Region].Mailboxes[v.Entry.Account]
	given = given && reflect.DeepEqual(entry, v.Entry)
	if given {
		s.Region = v.Region
	}
	s.Served = belonging.ServedIn(v.Region, given, noun, f.Object.Spec.Tenant)
	return s
}

// record keeps the region that is given the mailbox: from now on it lives there, see
// belonging.JudgeMailbox.
func record(m *v1alpha1.SharedMailbox, _ *belonging.Facts[*v1alpha1.SharedMailbox], s belonging.Standing) {
	if s.Region != (v1alpha1.RegionReference{}) {
		m.Status.Region = s.Region.String()
	}
}
