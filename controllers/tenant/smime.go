package tenant

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// smimeFacts is what the certificates of spec.smime came to.
type smimeFacts struct {
	roots, intermediates string
	// problem is why one of them cannot be used; neither counts then.
	problem *problem
}

// anchors reads the certificates of spec.smime by name, past the cache, as bundles
// does, and keeps them until the spec, what it names, a person or a failure asks for
// them again.
type anchors struct {
	live client.Reader
	// sources tells which versions the objects have that a tenant names.
	sources sourceVersions

	mu    sync.Mutex
	known map[types.NamespacedName]anchorsRead
}

type anchorsRead struct {
	uid       types.UID
	version   int64
	sources   string
	requested string
	readAt    time.Time
	facts     smimeFacts
}

// get gives the certificates of a tenant. A failure to reach the API server is an
// error.
func (a *anchors) get(ctx context.Context, t *v1alpha1.Tenant, now time.Time) (smimeFacts, error) {
	if !t.Spec.Features.SMIME || t.Spec.SMIME == nil {
		return smimeFacts{}, nil
	}
	// The versions are looked up before the objects are read: one that changes meanwhile is read again.
	sources, err := a.sources(ctx, t)
	if err != nil {
		return smimeFacts{}, err
	}
	key := client.ObjectKeyFromObject(t)
	want := anchorsRead{uid: t.UID, version: t.Generation, sources: sources, requested: t.Annotations[v1alpha1.AnnotationRequestedAt], readAt: now}
	a.mu.Lock()
	have, ok := a.known[key]
	a.mu.Unlock()
	if ok && have.current(want, now) {
		return have.facts, nil
	}
	for _, list := range []struct {
		field  string
		source *v1alpha1.CertificateSource
		into   *string
	}{
		{"spec.smime.trustAnchors", t.Spec.SMIME.TrustAnchors, &want.facts.roots},
		{"spec.smime.intermediates", t.Spec.SMIME.Intermediates, &want.facts.intermediates},
	} {
		if list.source == nil || want.facts.problem != nil {
			continue
		}
		if *list.into, want.facts.problem, err = a.read(ctx, t.Namespace, list.field, list.source); err != nil {
			return smimeFacts{}, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = map[types.NamespacedName]anchorsRead{}
	}
	a.known[key] = want
	return want.facts, nil
}

// current tells whether what was read still answers the question.
func (have anchorsRead) current(want anchorsRead, now time.Time) bool {
	same := have.uid == want.uid && have.version == want.version && have.sources == want.sources && have.requested == want.requested
	return same && (have.facts.problem == nil || now.Sub(have.readAt) < bundleRetry)
}

func (a *anchors) forget(key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, key)
}

// read gives the certificates of one field, or why there are none.
func (a *anchors) read(ctx context.Context, namespace, field string, source *v1alpha1.CertificateSource) (string, *problem, error) {
	switch {
	case source.ConfigMapRef != nil:
		ref := source.ConfigMapRef
		where := fmt.Sprintf("ConfigMap %q of %s.configMapRef", namespace+"/"+string(ref.Name), field)
		object := &corev1.ConfigMap{}
		p, err := a.fetch(ctx, client.ObjectKey{Namespace: namespace, Name: string(ref.Name)}, object, where, v1alpha1.ReasonConfigMapNotFound)
		if p != nil || err != nil {
			return "", p, err
		}
		pem := object.Data[ref.Key]
		return pem, checkAnchors(pem, fmt.Sprintf("key %q of %s", ref.Key, where), v1alpha1.ReasonConfigMapMalformed), nil
	case source.SecretRef != nil:
		ref := source.SecretRef
		where := fmt.Sprintf("Secret %q of %s.secretRef", namespace+"/"+string(ref.Name), field)
		object := &corev1.Secret{}
		p, err := a.fetch(ctx, client.ObjectKey{Namespace: namespace, Name: string(ref.Name)}, object, where, v1alpha1.ReasonSecretNotFound)
		if p != nil || err != nil {
			return "", p, err
		}
		pem := string(object.Data[ref.Key])
		return pem, checkAnchors(pem, fmt.Sprintf("key %q of %s", ref.Key, where), v1alpha1.ReasonSecretMalformed), nil
	default:
		return source.PEM, checkAnchors(source.PEM, field+".pem", v1alpha1.ReasonInvalidSpec), nil
	}
}

func (a *anchors) fetch(ctx context.Context, key client.ObjectKey, into client.Object, where, notFound string) (*problem, error) {
	err := a.live.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		return &problem{reason: notFound, message: where + " does not exist: create it, or name another"}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", where, err)
	}
	return nil, nil //nolint:nilnil // there is no problem
}

func checkAnchors(pem, where, reason string) *problem {
	if pem == "" {
		return &problem{reason: reason, message: where + " is missing or empty: put the PEM certificates of the authorities for S/MIME there"}
	}
	if err := tenantdoc.CheckCertificates(pem); err != nil {
		return &problem{reason: reason, message: fmt.Sprintf("%s: %v: put the PEM certificates of the authorities for S/MIME there, and nothing else", where, err)}
	}
	return nil
}

func (c *Controller) observeSMIME(ctx context.Context, f *Facts) (err error) {
	f.SMIME, err = c.anchors.get(ctx, f.Tenant, f.Now.Time)
	return err
}

// renderSMIME is the part of a document about S/MIME. While the certificates cannot
// be read, those that the region has stay; what mail must carry to leave always is
// what the spec says.
func renderSMIME(f *Facts, region v1alpha1.RegionReference) *tenantdoc.SMIME {
	spec := f.Tenant.Spec.SMIME
	if !f.Tenant.Spec.Features.SMIME || spec == nil {
		return nil
	}
	section := &tenantdoc.SMIME{Roots: f.SMIME.roots, Intermediates: f.SMIME.intermediates}
	if f.SMIME.problem != nil {
		section.Roots, section.Intermediates = servedAnchors(f, region)
	}
	section.Outgoing = tenantdoc.SMIMEOutgoing{
		RequireSigned: spec.Outgoing.RequireSigned, RequireEncrypted: spec.Outgoing.RequireEncrypted,
	}
	return section
}

// servedAnchors are the certificates that a region has of this tenant.
func servedAnchors(f *Facts, region v1alpha1.RegionReference) (roots, intermediates string) {
	for _, served := range f.Documents {
		if served.region != region {
			continue
		}
		document, err := tenantdoc.Decode([]byte(served.configMap.Data[tenantdoc.DocumentKey]))
		if err == nil && document.UID == string(f.Tenant.UID) && document.SMIME != nil {
			return document.SMIME.Roots, document.SMIME.Intermediates
		}
	}
	return "", ""
}

// smimeReady tells of the certificates, while the feature is on.
func smimeReady(f *Facts) []conditions.Dependent {
	const kind = v1alpha1.ConditionSMIMEReady
	spec := f.Tenant.Spec
	switch {
	case !spec.Features.SMIME:
		return nil
	case f.SMIME.problem != nil:
		return []conditions.Dependent{f.SMIME.problem.dependent(kind)}
	case f.SMIME.roots == "":
		return []conditions.Dependent{conditions.True(kind, v1alpha1.ReasonNoTrustAnchors, "no signature is good yet: name the roots of the signers in spec.smime.trustAnchors")}
	default:
		return []conditions.Dependent{conditions.True(kind, v1alpha1.ReasonTrustAnchorsRead, "")}
	}
}
