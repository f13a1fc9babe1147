package region

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// DeliveryFacts is what the objects that spec.delivery names say.
type DeliveryFacts struct {
	// Problem says which of them cannot be used; nil when all can, and when none is
	// named.
	Problem *Obstacle
	// Revision stands for the authorities that the sync servers read when they start;
	// empty when none is named.
	Revision string
	// Until is when they have to be read again; zero when none is named.
	Until time.Time
}

// bundleField is an authority of mail servers, and the field of the spec that names it.
type bundleField struct {
	field  string
	source *v1alpha1.CertificateReference
}

// bundlesOf are the authorities that a region names, in the order of the spec.
func bundlesOf(r *v1alpha1.MailboxRegion) []bundleField {
	var list []bundleField
	if in := inboundOf(r); in != nil && in.ClientCertificates != nil {
		list = append(list, bundleField{"spec.delivery.inbound.clientCertificates.caBundle", &in.ClientCertificates.CABundle})
	}
	if host := smartHostOf(r); host != nil && host.CABundle != nil {
		list = append(list, bundleField{"spec.delivery.outbound.smartHost.caBundle", host.CABundle})
	}
	return list
}

// inboundOf is how mail comes in; nil when none does.
func inboundOf(r *v1alpha1.MailboxRegion) *v1alpha1.InboundDelivery {
	if r.Spec.Delivery == nil {
		return nil
	}
	return r.Spec.Delivery.Inbound
}

// smartHostOf is where mail goes out; nil when none does.
func smartHostOf(r *v1alpha1.MailboxRegion) *v1alpha1.SmartHost {
	if r.Spec.Delivery == nil || r.Spec.Delivery.Outbound == nil {
		return nil
	}
	return &r.Spec.Delivery.Outbound.SmartHost
}

// observeDelivery reads what spec.delivery names, past the cache: it is the user's and
// carries no label of ours.
func (c *Controller) observeDelivery(ctx context.Context, f *Facts) error {
	host := smartHostOf(f.Region)
	if len(bundlesOf(f.Region)) == 0 && (host == nil || host.ClientCertificateSecretRef == nil) {
		return nil
	}
	if known, ok := c.delivery.get(f.Region, f.Now); ok && f.requested() == "" {
		f.Delivery = known
		return nil
	}
	facts, err := c.readDelivery(ctx, f.Region, f.Now)
	if err != nil {
		return err
	}
	facts.Until = f.Now.Add(storageEvery)
	if facts.Problem != nil {
		facts.Until = f.Now.Add(countsEvery)
	}
	c.delivery.set(f.Region, facts, facts.Until)
	f.Delivery = facts
	return nil
}

func (c *Controller) readDelivery(ctx context.Context, r *v1alpha1.MailboxRegion, now time.Time) (DeliveryFacts, error) {
	secrets := newSecretReader(c.live, r.Namespace, v1alpha1.ConditionDeliveryReady)
	var facts DeliveryFacts
	var authorities []string
	for _, b := range bundlesOf(r) {
		pem, problem, err := secrets.bundle(ctx, b)
		if err != nil || problem != nil {
			facts.Problem = problem
			return facts, err
		}
		authorities = append(authorities, b.field+"\n"+pem)
	}
	if len(authorities) > 0 {
		sum := sha256.Sum256([]byte(strings.Join(authorities, "\n")))
		facts.Revision = hex.EncodeToString(sum[:8])
	}
	var err error
	if host := smartHostOf(r); host != nil && host.ClientCertificateSecretRef != nil {
		facts.Problem, err = secrets.pair(ctx, host.ClientCertificateSecretRef, now)
	}
	return facts, err
}

// bundle gives the certificates that a field names, or why they cannot be used.
func (s *secretReader) bundle(ctx context.Context, b bundleField) (string, *Obstacle, error) {
	const what = "the PEM certificates of the authority"
	var pem, where string
	if ref := b.source.ConfigMapRef; ref != nil {
		object := &corev1.ConfigMap{}
		err := s.live.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: string(ref.Name)}, object)
		switch pem = object.Data[ref.Key]; {
		case apierrors.IsNotFound(err):
			return "", deliveryObstacle(v1alpha1.ReasonConfigMapNotFound,
				fmt.Sprintf("%s.configMapRef: ConfigMap %q does not exist: create it with %s under the key %q", b.field, ref.Name, what, ref.Key)), nil
		case err != nil:
			return "", nil, fmt.Errorf("read ConfigMap %q: %w", ref.Name, err)
		case pem == "":
			return "", deliveryObstacle(v1alpha1.ReasonConfigMapMalformed,
				fmt.Sprintf("%s.configMapRef: ConfigMap %q has nothing under the key %q: put %s there", b.field, ref.Name, ref.Key, what)), nil
		}
		where = fmt.Sprintf("%s.configMapRef: ConfigMap %q, key %q", b.field, ref.Name, ref.Key)
	} else if ref := b.source.SecretRef; ref != nil {
		raw, problem, err := s.value(ctx, b.field+".secretRef", *ref, what)
		if problem != nil || err != nil {
			return "", problem, err
		}
		pem, where = string(raw), fmt.Sprintf("%s.secretRef: Secret %q, key %q", b.field, ref.Name, ref.Key)
	}
	if err := tenantdoc.CheckCertificates(pem); err != nil {
		return "", deliveryObstacle(v1alpha1.ReasonInvalidCertificate, fmt.Sprintf("%s: %v: put %s there, and nothing else", where, err, what)), nil
	}
	return pem, nil, nil
}

// pair says what is wrong with the certificate that is shown to the smart host.
func (s *secretReader) pair(ctx context.Context, ref *v1alpha1.TLSSecretReference, now time.Time) (*Obstacle, error) {
	const field = "spec.delivery.outbound.smartHost.clientCertificateSecretRef"
	var parts [2][]byte
	for i, part := range []struct{ key, what string }{
		{corev1.TLSCertKey, "a PEM certificate that the smart host knows"}, {corev1.TLSPrivateKeyKey, "the PEM key of the certificate"},
	} {
		raw, problem, err := s.value(ctx, field, v1alpha1.SecretKeyReference{Name: ref.Name, Key: part.key}, part.what)
		if problem != nil || err != nil {
			return problem, err
		}
		parts[i] = raw
	}
	if err := judgePair(parts[0], parts[1], now); err != nil {
		return deliveryObstacle(v1alpha1.ReasonInvalidCertificate, fmt.Sprintf("%s: Secret %q: %v", field, ref.Name, err)), nil
	}
	return nil, nil //nolint:nilnil // no obstacle is an answer
}

// judgePair refuses a certificate that the sync server would refuse. No error tells of
// what the key holds.
func judgePair(certificate, key []byte, now time.Time) error {
	pair, err := tls.X509KeyPair(certificate, key)
	switch {
	case err != nil:
		return errors.New("tls.crt and tls.key are no PEM certificate with its key: write the pair that the smart host knows")
	case now.After(pair.Leaf.NotAfter):
		return fmt.Errorf("tls.crt expired at %s: write a new certificate and its key", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(pair.Leaf.NotBefore):
		return fmt.Errorf("tls.crt is not valid before %s: write one that is valid now", pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	default:
		return nil
	}
}

func deliveryObstacle(reason, message string) *Obstacle {
	return &Obstacle{v1alpha1.ConditionDeliveryReady, reason, message}
}
