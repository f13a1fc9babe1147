package region

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// judgeStorage tells whether the volume of an embedded store is there, and what the
// replicas say of the store.
func judgeStorage(f *Facts, _ Decision, _ Outcome) conditions.Dependent {
	const condition = v1alpha1.ConditionStorageReady
	if !f.onPostgres() {
		if d := judgeClaim(f); d != nil {
			return *d
		}
	}
	if d := storageTrouble(f); d != nil {
		return *d
	}
	if !f.onPostgres() {
		return conditions.True(condition, v1alpha1.ReasonVolumeBound, fmt.Sprintf("PersistentVolumeClaim %q is bound", f.Claim.Name))
	}
	for _, cell := range cellsOf(f.Region) {
		if !slices.ContainsFunc(f.Replicas, func(r ReplicaFacts) bool { return r.finds(cell.name) != nil }) {
			return conditions.Unknown(condition, v1alpha1.ReasonStoragePending,
				"no sync server has told yet whether it can use "+titleOf(f.Region, cell.name))
		}
	}
	return conditions.True(condition, v1alpha1.ReasonStorageUsable, "the sync servers use every database")
}

// judgeClaim tells of a claim that is not as it should be; nil when it is.
func judgeClaim(f *Facts) *conditions.Dependent {
	const condition = v1alpha1.ConditionStorageReady
	waiting := func(reason, message string) *conditions.Dependent {
		return new(conditions.Waiting(condition, reason, message))
	}
	if f.Claim == nil {
		return waiting(v1alpha1.ReasonVolumePending, fmt.Sprintf("PersistentVolumeClaim %q does not exist yet", namesOf(f.Region).claim()))
	}
	if f.Claim.Status.Phase != corev1.ClaimBound {
		return waiting(v1alpha1.ReasonVolumePending,
			fmt.Sprintf("PersistentVolumeClaim %q is not bound: see its events, and the storage class", f.Claim.Name))
	}
	size := f.Region.Spec.Storage.Embedded.Size
	if capacity, known := f.Claim.Status.Capacity[corev1.ResourceStorage]; known && capacity.Cmp(size) < 0 {
		return waiting(v1alpha1.ReasonVolumeResizing,
			fmt.Sprintf("PersistentVolumeClaim %q grows from %s to %s", f.Claim.Name, capacity.String(), size.String()))
	}
	return nil
}

// trouble is what a state of a part of the store means.
type trouble struct {
	reason string
	// what is wrong, and the remedy for a database, and for others when it differs.
	what, remedy, others string
	// passing tells that it may pass without anybody's help.
	passing bool
}

// troubles are those of the states that are not well. Others, of sync servers of a
// newer release, are told as failed with the words of the replica.
var troubles = map[tenantdoc.CellState]trouble{
	tenantdoc.CellAuthenticationFailed: {
		reason: v1alpha1.ReasonAuthenticationFailed, what: "refuses the credentials",
		remedy: "correct the user and the password in the Secret, or let the server accept them",
		others: "correct the keys in the Secret, or give them the rights that they lack",
	},
	tenantdoc.CellUnreachable: {
		reason: v1alpha1.ReasonStorageUnreachable, what: "cannot be reached", passing: true,
		remedy: "check that it runs, that the host and the port are right, and that network policies let the sync pods through",
	},
	tenantdoc.CellUnsupportedVersion: {
		reason: v1alpha1.ReasonUnsupportedVersion, what: "has a version that the sync server does not work with",
		remedy: "upgrade the database to PostgreSQL 15 or later, or run the release of the sync server that wrote the data",
	},
	tenantdoc.CellDiskFull: {
		reason: v1alpha1.ReasonDiskFull, what: "has no space left", remedy: "give it a larger disk",
	},
	tenantdoc.CellReadOnly: {
		reason: v1alpha1.ReasonReadOnly, what: "takes no writes", passing: true,
		remedy: "name the primary in the connection string, with target_session_attrs=read-write and every host",
		others: "see why it is read-only",
	},
}

// troubleOf gives the meaning of a state; nil when all is well.
func troubleOf(c *tenantdoc.CellReport) *trouble {
	if c.State == tenantdoc.CellReady {
		return nil
	}
	if known, ok := troubles[c.State]; ok {
		return &known
	}
	return &trouble{reason: v1alpha1.ReasonStorageFailed, what: "cannot be used", remedy: plain(c.Text), passing: true}
}

// plain is the text of a replica on one line, no longer than it should be.
func plain(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if text == "" {
		return "read the log of the sync server"
	}
	return strings.ToValidUTF8(text[:min(len(text), tenantdoc.MaxCellText)], "")
}

// storageTrouble tells of the parts of the store that are not well, in the order of the
// spec; nil when no replica knows of any.
func storageTrouble(f *Facts) *conditions.Dependent {
	const condition = v1alpha1.ConditionStorageReady
	var messages []string
	reason, passing := "", true
	for _, name := range partsOf(f.Region) {
		found, everywhere := worstOf(f, name)
		if found == nil {
			continue
		}
		if reason == "" {
			reason = found.reason
		}
		passing = passing && found.passing
		remedy := found.remedy
		if found.others != "" && (name == tenantdoc.CellEmbedded || name == tenantdoc.CellBlobs) {
			remedy = found.others
		}
		message := fmt.Sprintf("%s %s: %s", titleOf(f.Region, name), found.what, remedy)
		if !everywhere {
			message = "for some replicas, " + message
		}
		messages = append(messages, message)
	}
	switch {
	case reason == "":
		return nil
	case passing:
		return new(conditions.Waiting(condition, reason, joined(messages)))
	default:
		return new(conditions.Blocked(condition, reason, joined(messages)))
	}
}

// joined gives the first few messages, and says how many more there are.
func joined(messages []string) string {
	if more := len(messages) - maxNamed; more > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(messages[:maxNamed], "; "), more)
	}
	return strings.Join(messages, "; ")
}

// worstOf gives what the first replica that is not well with a part of the store says
// of it, and whether no replica is.
func worstOf(f *Facts, name string) (worst *trouble, everywhere bool) {
	everywhere = true
	for i := range f.Replicas {
		found := f.Replicas[i].finds(name)
		if found == nil {
			continue
		}
		t := troubleOf(found)
		everywhere = everywhere && t != nil
		if t != nil && (worst == nil || t.reason < worst.reason) {
			worst = t
		}
	}
	return worst, everywhere
}

// finds is what the replica says of a part of the store; nil when it says nothing.
func (f *ReplicaFacts) finds(cell string) *tenantdoc.CellReport {
	i := slices.IndexFunc(f.Storage, func(c tenantdoc.CellReport) bool { return c.Cell == cell })
	if i < 0 {
		return nil
	}
	return &f.Storage[i]
}

// partsOf are the names of the parts of a region's store.
func partsOf(r *v1alpha1.MailboxRegion) []string {
	var parts []string
	if r.Spec.Storage.Postgres == nil {
		parts = append(parts, tenantdoc.CellEmbedded)
	}
	for _, cell := range cellsOf(r) {
		parts = append(parts, cell.name)
	}
	if r.Spec.Storage.Blobs != nil {
		parts = append(parts, tenantdoc.CellBlobs)
	}
	return parts
}

// titleOf says in words of the spec which part of the store a cell is.
func titleOf(r *v1alpha1.MailboxRegion, name string) string {
	switch {
	case name == tenantdoc.CellEmbedded:
		return fmt.Sprintf("the store on PersistentVolumeClaim %q", namesOf(r).claim())
	case name == tenantdoc.CellBlobs && r.Spec.Storage.Blobs != nil:
		s3 := &r.Spec.Storage.Blobs.S3
		return fmt.Sprintf("the bucket %q (Secret %q, key %q)", s3.Bucket, s3.CredentialsSecretRef.Name, s3.CredentialsSecretRef.Key)
	}
	cells := cellsOf(r)
	i := slices.IndexFunc(cells, func(c cell) bool { return c.name == name })
	if i < 0 {
		return fmt.Sprintf("the part %q of the store", name)
	}
	return fmt.Sprintf("the database of cell %q (Secret %q, key %q)", name, cells[i].ref.Name, cells[i].ref.Key)
}
