package region

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// teardown deletes what the region made. The finalizer stays until the pod is gone,
// and with Delete the volume; with Retain the claim is left as it is.
func (d *Decision) teardown(f *Facts) {
	for _, obj := range f.Found {
		if obj == client.Object(f.Claim) && deletionPolicy(f.Region) == v1alpha1.DeletionRetain {
			continue
		}
		d.Plan.Prune = append(d.Plan.Prune, obj)
	}
	if f.StatefulSet != nil {
		d.Deleting.Remaining = append(d.Deleting.Remaining, kindStatefulSet+" "+f.StatefulSet.Name)
	}
	if f.Deployment != nil {
		d.Deleting.Remaining = append(d.Deleting.Remaining, kindDeployment+" "+f.Deployment.Name)
	}
	d.Deleting.Remaining = append(d.Deleting.Remaining, podsLeft(f)...)
	d.Deleting.Kept = keptElsewhere(f.Region)
	if f.Claim != nil && deletionPolicy(f.Region) == v1alpha1.DeletionDelete {
		d.Deleting.Remaining = append(d.Deleting.Remaining, "PersistentVolumeClaim "+f.Claim.Name)
	}
	d.Plan.Finalizer = hasFinalizer(f) && len(d.Deleting.Remaining) > 0
}

// podsLeft names the pod of an embedded store. Those of a Deployment have names that
// say nothing.
func podsLeft(f *Facts) []string {
	switch {
	case len(f.Pods) == 0:
		return nil
	case f.onPostgres():
		return []string{"its pods"}
	default:
		return []string{"Pod " + f.Pods[0].Name}
	}
}

// keptElsewhere is the mail that is in databases and buckets. They are not the
// operator's: it erases nothing there, whatever the deletion policy says.
func keptElsewhere(r *v1alpha1.MailboxRegion) string {
	var places []string
	for _, c := range cellsOf(r) {
		places = append(places, fmt.Sprintf("the database of Secret %q (key %q)", c.ref.Name, c.ref.Key))
	}
	if blobs := r.Spec.Storage.Blobs; blobs != nil {
		places = append(places, fmt.Sprintf("the bucket %q", blobs.S3.Bucket))
	}
	return strings.Join(places, ", ")
}

// retained tells what a region that is gone leaves behind.
func retained(f *Facts) []apply.Event {
	event := func(reason, note string) apply.Event {
		return apply.Event{Type: corev1.EventTypeNormal, Reason: reason, Action: "Delete", Note: note}
	}
	var events []apply.Event
	if f.Claim != nil && deletionPolicy(f.Region) == v1alpha1.DeletionRetain {
		events = append(events, event("VolumeRetained",
			fmt.Sprintf("PersistentVolumeClaim %q is kept with its mail (deletionPolicy Retain): delete it to erase the mail", f.Claim.Name)))
	}
	if kept := keptElsewhere(f.Region); kept != "" {
		events = append(events, event("StorageRetained", "nothing is erased in "+kept+": drop the databases and empty the buckets to erase the mail"))
	}
	return events
}
