package cloud

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// longestWait bounds how long a cloud rests until its authority's end is looked at
// again.
const longestWait = 24 * time.Hour

// Decision is what to do for a cloud.
type Decision struct {
	// Paused leaves everything as it is.
	Paused bool
	// Deleting tells that the cloud is being deleted, InUse that something holds it.
	Deleting, InUse bool
	// NewAuthority makes the cloud's authority, with keys of Compliance.
	NewAuthority bool
	// Compliance in force, defaults applied.
	Compliance v1alpha1.CloudCompliance
	// Plan for the writer, without the new authority: making one is no pure thing.
	Plan apply.Plan

	again time.Duration
}

// gone tells whether the object may have left with its finalizer.
func (d Decision) gone(o applied) bool {
	return d.Deleting && !d.Paused && !o.Finalizer
}

// decide says what to do. It is pure.
func decide(f *Facts) Decision {
	d := Decision{
		Paused:     f.Cloud.Annotations[v1alpha1.AnnotationPaused] == "true",
		Deleting:   !f.Cloud.DeletionTimestamp.IsZero(),
		InUse:      len(f.Regions)+len(f.Tenants) > 0,
		Compliance: complianceInForce(f.Cloud.Spec.Compliance),
	}
	if d.Paused {
		return d
	}
	d.Plan.Finalizer = !d.Deleting || d.InUse
	d.NewAuthority = f.Secret == nil && d.Plan.Finalizer
	if !d.Plan.Finalizer && ownSecret(f) {
		d.Plan.Prune = []client.Object{f.Secret}
	}
	if f.Authority != nil && !f.Authority.Expired(f.Now.Time) {
		d.again = min(longestWait, f.Authority.NotAfter().Sub(f.Now.Time))
	}
	return d
}

// ownSecret tells whether the Secret of the authority's name is one that the
// operator made for this cloud; another's stays when the cloud goes.
func ownSecret(f *Facts) bool {
	return f.Secret != nil &&
		f.Secret.Labels[apply.LabelManagedBy] == apply.ManagedBy &&
		f.Secret.Labels[v1alpha1.LabelCloud] == f.Cloud.Name
}

func complianceInForce(c v1alpha1.CloudCompliance) v1alpha1.CloudCompliance {
	if c.Cryptography == "" {
		c.Cryptography = v1alpha1.CryptographyStandard
	}
	if c.MinimumTLSVersion == "" {
		c.MinimumTLSVersion = v1alpha1.TLSVersion12
	}
	if c.PodSecurity == "" {
		c.PodSecurity = "Restricted"
	}
	if c.CertificateKey == "" {
		c.CertificateKey = v1alpha1.KeyECDSAP256
	}
	return c
}
