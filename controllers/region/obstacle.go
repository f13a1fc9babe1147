package region

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// obstacles asks every policy about the region, in the order in which a person
// should repair what they find. At most one is kept for each condition.
func obstacles(f *Facts) []Obstacle {
	var found []Obstacle
	for _, policy := range policies {
		o := policy(f)
		if o == nil || slices.ContainsFunc(found, func(before Obstacle) bool { return before.Condition == o.Condition }) {
			continue
		}
		found = append(found, *o)
	}
	return found
}

var policies = []func(*Facts) *Obstacle{
	cloudMissing,           // the cloud exists
	geographyUnknown,       // the cloud has the geography
	countryOutside,         // the geography has the country
	hostnameTaken,          // no other region serves the hostname
	kubeConfigUnusable,     // the kubeconfig is there and safe
	remoteUnsupported,      // the region runs in this cluster
	storageUnusable,        // the Secrets of the store are there and safe
	gatewayUnsupported,     // the endpoint is a Service
	volumeOfAnother,        // the volume that was kept holds mail of the same place
	certManagerUnsupported, // the certificate is of our own authority
}

func cloudMissing(f *Facts) *Obstacle {
	if f.Cloud != nil {
		return nil
	}
	return &Obstacle{
		v1alpha1.ConditionCloudReady, v1alpha1.ReasonCloudNotFound,
		fmt.Sprintf("spec.cloud: SovereignCloud %q does not exist: create it, or create the region in a cloud that does", f.Region.Spec.Cloud),
	}
}

func geographyUnknown(f *Facts) *Obstacle {
	if f.Cloud == nil || geographyOf(f) != nil {
		return nil
	}
	codes := make([]string, 0, len(f.Cloud.Spec.Geographies))
	for i := range f.Cloud.Spec.Geographies {
		codes = append(codes, string(f.Cloud.Spec.Geographies[i].Code))
	}
	return &Obstacle{
		v1alpha1.ConditionCloudReady, v1alpha1.ReasonUnknownGeography,
		fmt.Sprintf("spec.geography: cloud %q has no geography %q: create the region in one of %s", f.Cloud.Name, f.Region.Spec.Geography, sorted(codes)),
	}
}

func countryOutside(f *Facts) *Obstacle {
	geography := geographyOf(f)
	if geography == nil || slices.Contains(geography.Countries, f.Region.Spec.Country) {
		return nil
	}
	countries := make([]string, 0, len(geography.Countries))
	for _, country := range geography.Countries {
		countries = append(countries, string(country))
	}
	return &Obstacle{
		v1alpha1.ConditionCloudReady, v1alpha1.ReasonCountryNotInGeography,
		fmt.Sprintf("spec.country: %q is not in geography %q of cloud %q: create the region in one of %s",
			f.Region.Spec.Country, geography.Code, f.Cloud.Name, sorted(countries)),
	}
}

func geographyOf(f *Facts) *v1alpha1.Geography {
	if f.Cloud == nil {
		return nil
	}
	for i := range f.Cloud.Spec.Geographies {
		if f.Cloud.Spec.Geographies[i].Code == f.Region.Spec.Geography {
			return &f.Cloud.Spec.Geographies[i]
		}
	}
	return nil
}

func hostnameTaken(f *Facts) *Obstacle {
	if f.Rival == "" {
		return nil
	}
	return &Obstacle{
		v1alpha1.ConditionEndpointReady, v1alpha1.ReasonHostnameTaken,
		fmt.Sprintf("spec.endpoint.hostname: %q is the hostname of region %q: choose another", f.Region.Spec.Endpoint.Hostname, f.Rival),
	}
}

func kubeConfigUnusable(f *Facts) *Obstacle {
	return f.KubeConfigProblem
}

func remoteUnsupported(f *Facts) *Obstacle {
	if f.Region.Spec.Cluster == nil {
		return nil
	}
	return unsupported(v1alpha1.ConditionClusterReachable, "spec.cluster: this release runs regions in the operator's own cluster only: remove spec.cluster")
}

func volumeOfAnother(f *Facts) *Obstacle {
	if f.Claim == nil {
		return nil
	}
	holds, told := f.Claim.Annotations[v1alpha1.AnnotationJurisdiction]
	if !told || holds == jurisdiction(f.Region) {
		return nil
	}
	return &Obstacle{
		v1alpha1.ConditionStorageReady, v1alpha1.ReasonVolumeOfAnotherJurisdiction,
		fmt.Sprintf("metadata.name: PersistentVolumeClaim %q was kept with the mail of a region of this name in %q, and this one is in %q: create the region under another name, or delete the claim to erase that mail",
			f.Claim.Name, holds, jurisdiction(f.Region)),
	}
}

func gatewayUnsupported(f *Facts) *Obstacle {
	if f.Region.Spec.Endpoint.Gateway == nil {
		return nil
	}
	return unsupported(v1alpha1.ConditionEndpointReady, "spec.endpoint.gateway: this release exposes regions through a Service only: use spec.endpoint.service")
}

func certManagerUnsupported(f *Facts) *Obstacle {
	if f.Region.Spec.Certificate.IssuerRef == nil {
		return nil
	}
	return unsupported(v1alpha1.ConditionCertificateReady, "spec.certificate.issuerRef: this release issues certificates from the cloud's own authority only: remove spec.certificate.issuerRef")
}

func unsupported(condition, message string) *Obstacle {
	return &Obstacle{condition, v1alpha1.ReasonUnsupported, message}
}

func sorted(values []string) string {
	values = slices.Clone(values)
	slices.Sort(values)
	return strings.Join(values, ", ")
}
