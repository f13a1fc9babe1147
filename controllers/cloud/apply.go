package cloud

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

// applied is what came of a decision.
type applied struct {
	apply.Outcome

	// Authority is the one that is there now; nil when there is none.
	Authority *authority.Authority
}

// apply makes the decision so. The keys of a new authority are drawn here, the only
// place that is not pure, and written once.
func (c *Controller) apply(ctx context.Context, f *Facts, d Decision) applied {
	out := applied{Authority: f.Authority}
	if d.Paused {
		return out
	}
	var made *authority.Authority
	if d.NewAuthority {
		secret, a, err := c.newAuthority(f, d)
		if err != nil {
			out.Failures = append(out.Failures, apply.Failure{Kind: "Secret", Name: authority.SecretName(f.Cloud.Name), Err: err})
			return out
		}
		made = a
		d.Plan.Wanted = append(d.Plan.Wanted, secret)
	}
	out.Outcome = c.writer.Apply(ctx, f.Cloud, d.Plan)
	if made != nil && len(out.Failures) == 0 {
		out.Authority = made
		c.writer.Announce(f.Cloud, authorityCreated(f))
	}
	if d.gone(out) {
		c.reader.Forget(types.NamespacedName{Namespace: c.namespace, Name: authority.SecretName(f.Cloud.Name)})
	}
	return out
}

func (c *Controller) newAuthority(f *Facts, d Decision) (*corev1.Secret, *authority.Authority, error) {
	data, err := authority.Generate(f.Cloud.Name, d.Compliance.CertificateKey, f.Now.Time)
	if err != nil {
		return nil, nil, err
	}
	secret := authoritySecret(c.namespace, f.Cloud.Name, data)
	a, err := authority.Parse(f.Cloud.Name, secret)
	return secret, a, err
}

// authoritySecret is the Secret of a cloud's authority. It has no owner: that of a
// cloud that is deleted goes with the finalizer, and that of a cloud that vanished
// without it is found again.
func authoritySecret(namespace, cloud string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      authority.SecretName(cloud),
			Labels: map[string]string{
				"app.kubernetes.io/name":    "bailiwick-authority",
				"app.kubernetes.io/part-of": "bailiwick",
				apply.LabelManagedBy:        apply.ManagedBy,
				v1alpha1.LabelCloud:         cloud,
			},
		},
		Type: corev1.SecretTypeTLS,
		Data: data,
	}
}

func authorityCreated(f *Facts) apply.Event {
	return apply.Event{
		Type: corev1.EventTypeNormal, Reason: "AuthorityCreated", Action: "Issue",
		Note: "created the cloud's own certificate authority in Secret " + f.SecretName,
	}
}
