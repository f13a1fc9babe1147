package tenant

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// render makes the document of a tenant for one region from verdicts that allow it.
func render(f *Facts, d *Decision, region *regionVerdict) *tenantdoc.Document {
	t := f.Tenant
	document := &tenantdoc.Document{
		Version:    tenantdoc.FormatVersion,
		Tenant:     nameOf(t),
		UID:        string(t.UID),
		Generation: t.Generation,
		Cloud:      string(t.Spec.Cloud),
		Suspended:  t.Spec.Suspend,
		Domains:    stringsOf(d.domains.held),
		Region:     region.ref.String(),
		Issuers:    []tenantdoc.Issuer{renderIssuer(d.identity.trust, d.identity.resolution)},
		SMIME:      renderSMIME(f, region.ref),
	}
	d.furnish(f, document, region.ref)
	for i := range d.regions {
		if v := &d.regions[i]; v.serves(f) {
			document.Regions = append(document.Regions, tenantdoc.Region{
				Name: v.ref.String(), Geography: string(v.geography), URL: v.url, Home: i == 0,
			})
		}
	}
	return document
}

func renderIssuer(t *trust, r *resolution) tenantdoc.Issuer {
	issuer := tenantdoc.Issuer{
		Profile:      t.profile,
		Issuer:       r.issuer,
		Aliases:      slices.Clone(r.aliases),
		JWKSURI:      r.jwksURI,
		AllowedHosts: slices.Clone(t.query.Hosts),
		CABundle:     t.query.CABundle,
		Audiences:    t.audiences,
		ClientIDs:    t.clientIDs,
		Algorithms:   r.algorithms,
		DirectoryID:  t.directoryID,
		Claims:       t.claims,
	}
	for _, prefix := range t.query.PrivateRanges {
		issuer.PrivateRanges = append(issuer.PrivateRanges, prefix.String())
	}
	return issuer
}

// configMapOf is the ConfigMap that carries a document to its region. It has no
// owner, because owners do not reach across namespaces: it goes with the tenant's
// finalizer.
func configMapOf(document *tenantdoc.Document, region v1alpha1.RegionReference) (*corev1.ConfigMap, error) {
	raw, err := tenantdoc.Encode(document)
	if err != nil {
		return nil, err
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: string(region.Namespace),
			Name:      tenantdoc.ConfigMapName(string(region.Name), document.Tenant),
			Labels: map[string]string{
				"app.kubernetes.io/name":    "bailiwick-tenant-document",
				"app.kubernetes.io/part-of": "bailiwick",
				apply.LabelManagedBy:        apply.ManagedBy,
				tenantdoc.LabelContent:      tenantdoc.ContentDocument,
				tenantdoc.LabelRegion:       string(region.Name),
				v1alpha1.LabelCloud:         document.Cloud,
			},
			Annotations: map[string]string{tenantdoc.AnnotationTenant: document.Tenant},
		},
		Data: map[string]string{tenantdoc.DocumentKey: string(raw)},
	}, nil
}
