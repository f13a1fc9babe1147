package tenant

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

const (
	// bundleRetry is how long after a failure a Secret is read again, and how often
	// while the issuer does not answer as it should: its authority may have changed.
	bundleRetry = 10 * time.Second
	// maxBundle bounds what a Secret puts into every document of a tenant.
	maxBundle = 64 << 10
)

// bundles reads the CA bundles of tenants from Secrets by name, past the cache:
// caching them would mean to watch every Secret of the cluster. What was read is
// kept until the spec, the Secret, a person or a failure asks for it again.
type bundles struct {
	live client.Reader
	// sources tells which versions the objects have that a tenant names.
	sources sourceVersions

	mu    sync.Mutex
	known map[types.NamespacedName]bundle
}

type bundle struct {
	ref       v1alpha1.SecretKeyReference // empty when the certificates are inline
	uid       types.UID
	version   int64
	sources   string
	requested string
	readAt    time.Time
	pem       string
	problem   *problem
}

// get gives the PEM certificates of a tenant's CA bundle, or why there are none. A
// failure to reach the API server is an error.
func (b *bundles) get(ctx context.Context, t *v1alpha1.Tenant, now time.Time, failing bool) (string, *problem, error) {
	declared := t.Spec.Identity.CABundle
	if declared == nil {
		return "", nil, nil
	}
	// The versions are looked up before the Secret is read: one that changes meanwhile is read again.
	sources, err := b.sources(ctx, t)
	if err != nil {
		return "", nil, err
	}
	key := client.ObjectKeyFromObject(t)
	want := bundle{uid: t.UID, version: t.Generation, sources: sources, requested: t.Annotations[v1alpha1.AnnotationRequestedAt], readAt: now}
	if declared.SecretRef != nil {
		want.ref = *declared.SecretRef
	}
	b.mu.Lock()
	have, ok := b.known[key]
	b.mu.Unlock()
	if ok && have.current(want, now, failing) {
		return have.pem, have.problem, nil
	}
	if declared.SecretRef == nil {
		want.pem = declared.PEM
		want.problem = checkBundle(want.pem, "spec.identity.caBundle.pem", v1alpha1.ReasonInvalidSpec)
	} else if err := b.fetch(ctx, t.Namespace, &want); err != nil {
		return "", nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil {
		b.known = map[types.NamespacedName]bundle{}
	}
	b.known[key] = want
	return want.pem, want.problem, nil
}

func (b *bundles) forget(key types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, key)
}

// current tells whether what was read still answers the question.
func (have bundle) current(want bundle, now time.Time, failing bool) bool {
	same := have.ref == want.ref && have.uid == want.uid && have.version == want.version && have.sources == want.sources && have.requested == want.requested
	doubtful := have.problem != nil || failing
	return same && (!doubtful || now.Sub(have.readAt) < bundleRetry)
}

func (b *bundles) fetch(ctx context.Context, namespace string, want *bundle) error {
	name := string(want.ref.Name)
	where := fmt.Sprintf("Secret %q of spec.identity.caBundle.secretRef", namespace+"/"+name)
	secret := &corev1.Secret{}
	err := b.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		want.problem = &problem{reason: v1alpha1.ReasonSecretNotFound, message: where + " does not exist: create it, or name another"}
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", where, err)
	}
	want.pem = string(secret.Data[want.ref.Key])
	want.problem = checkBundle(want.pem, fmt.Sprintf("key %q of %s", want.ref.Key, where), v1alpha1.ReasonSecretMalformed)
	return nil
}

func checkBundle(pem, where, reason string) *problem {
	switch {
	case pem == "":
		return &problem{reason: reason, message: where + " is missing or empty: put the PEM certificates of the issuer's authority there"}
	case len(pem) > maxBundle:
		return &problem{reason: reason, message: fmt.Sprintf("%s holds more than %d bytes: keep the certificates of the issuer's authority only", where, maxBundle)}
	case !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)):
		return &problem{reason: reason, message: where + " holds no PEM certificate: put the certificates of the issuer's authority there"}
	}
	return nil
}
