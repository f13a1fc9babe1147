package tenant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

const (
	// maxAliases and maxRegionMessage are bounds of the API.
	maxAliases       = 16
	maxRegionMessage = 1024
)

// report is the status that facts and outcome come to. It is pure.
func report(f *Facts, d Decision, out apply.Outcome) v1alpha1.TenantStatus {
	status := *f.Tenant.Status.DeepCopy()
	switch {
	case d.Paused:
		status.Conditions = conditions.Paused(status.Conditions, f.Tenant.Generation, f.Now)
		return status
	case d.Wait:
		return status
	case d.Deleting:
		status.Conditions = conditions.Derive(deletingSummary(f, out))
		status.ObservedGeneration = f.Tenant.Generation
		return status
	}
	status.Regions = reportRegions(f, &d)
	status.Conditions = conditions.Derive(conditions.Summary{
		Previous:   f.Tenant.Status.Conditions,
		Generation: f.Tenant.Generation,
		Now:        f.Now,
		Dependents: append([]conditions.Dependent{
			d.domains.condition,
			regionsReady(f, &d, out, status.Regions),
			d.identity.condition,
			policiesReady(f),
		}, smimeReady(f)...),
	})
	status.ObservedGeneration = f.Tenant.Generation
	status.LastHandledReconcileAt = f.Tenant.Annotations[v1alpha1.AnnotationRequestedAt]
	status.HeldDomains = heldDomains(f, &d, out)
	status.Home = ""
	if !d.regions[0].refused && d.regions[0].problem == nil && d.cloud == nil {
		status.Home = string(d.regions[0].ref.Name)
	}
	status.RegionsReady = regionCount(f, status.Regions)
	status.Identity = reportIdentity(f, &d)
	status.Mailboxes, status.Devices = 0, 0
	for i := range status.Regions {
		status.Mailboxes += status.Regions[i].Mailboxes
		status.Devices += status.Regions[i].Devices
	}
	return status
}

func deletingSummary(f *Facts, out apply.Outcome) conditions.Summary {
	message := "the documents of the tenant are being removed from its regions"
	if len(out.Failures) > 0 {
		message = out.Failures[0].Error()
	}
	return conditions.Summary{
		Previous: f.Tenant.Status.Conditions, Generation: f.Tenant.Generation, Now: f.Now,
		Deleting: &conditions.Deletion{Reason: v1alpha1.ReasonDeleting, Message: message},
	}
}

// heldDomains are those that the tenant holds from now on. A domain that left the
// spec is let go only once no document has it any more.
func heldDomains(f *Facts, d *Decision, out apply.Outcome) []v1alpha1.MailDomain {
	held := slices.Clone(d.domains.held)
	if len(out.Failures) > 0 || len(d.untouched) > 0 {
		held = append(held, f.Tenant.Status.HeldDomains...)
	}
	slices.Sort(held)
	return slices.Compact(held)
}

func reportRegions(f *Facts, d *Decision) []v1alpha1.TenantRegionStatus {
	list := make([]v1alpha1.TenantRegionStatus, 0, len(d.regions))
	for i := range d.regions {
		v := &d.regions[i]
		region := v1alpha1.TenantRegionStatus{Namespace: v.ref.Namespace, Name: v.ref.Name, Geography: v.geography, URL: v.url}
		if v.refused {
			region.Geography, region.URL = "", ""
		}
		e := enforcementOf(f, v.ref)
		region.EnforcedGeneration, region.Mailboxes, region.Devices = e.generation, e.mailboxes, e.devices
		if before := regionBefore(f, v.ref); before != nil && !f.CountsDue {
			region.Mailboxes, region.Devices = before.Mailboxes, before.Devices
		}
		region.Message = shortened(regionMessage(v, e))
		list = append(list, region)
	}
	return list
}

func regionBefore(f *Facts, ref v1alpha1.RegionReference) *v1alpha1.TenantRegionStatus {
	for i := range f.Tenant.Status.Regions {
		if r := &f.Tenant.Status.Regions[i]; r.Namespace == ref.Namespace && r.Name == ref.Name {
			return r
		}
	}
	return nil
}

func regionMessage(v *regionVerdict, e enforcement) string {
	switch {
	case v.problem != nil:
		return v.problem.message
	case e.refused != "":
		return "the region refuses the newest document: " + e.refused
	case e.keysError != "":
		return "the region cannot fetch the issuer's keys: " + e.keysError
	}
	return ""
}

func shortened(message string) string {
	if len(message) <= maxRegionMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxRegionMessage-len("…")], "") + "…"
}

// regionsReady tells the first problem of a region in the order of the spec, what a
// person must solve before what time does.
func regionsReady(f *Facts, d *Decision, out apply.Outcome, regions []v1alpha1.TenantRegionStatus) conditions.Dependent {
	const kind = v1alpha1.ConditionRegionsReady
	if d.cloud != nil {
		return d.cloud.dependent(kind)
	}
	for _, temporary := range []bool{false, true} {
		if p := regionProblems(d, temporary); p != nil {
			return p.dependent(kind)
		}
	}
	switch {
	case len(out.Failures) > 0:
		return conditions.Waiting(kind, v1alpha1.ReasonApplyFailed, out.Failures[0].Error())
	case d.invalid != nil:
		return conditions.Blocked(kind, v1alpha1.ReasonInvalidSpec, d.invalid.Error())
	case !d.rendered:
		return conditions.Unknown(kind, v1alpha1.ReasonNotEnforcedYet, "the newest generation is written to the regions once the identity and the domains of the tenant are accepted: see the other conditions")
	}
	return enforced(f, d, regions)
}

func regionProblems(d *Decision, temporary bool) *problem {
	var first *problem
	var messages []string
	for i := range d.regions {
		if p := d.regions[i].problem; p != nil && p.temporary == temporary {
			if first == nil {
				first = p
			}
			messages = append(messages, p.message)
		}
	}
	if first == nil {
		return nil
	}
	return &problem{reason: first.reason, temporary: temporary, message: strings.Join(messages, "; ")}
}

func enforced(f *Facts, d *Decision, regions []v1alpha1.TenantRegionStatus) conditions.Dependent {
	const kind = v1alpha1.ConditionRegionsReady
	var behind, refusing []string
	for i := range regions {
		ref := d.regions[i].ref
		// A document changes with what belongs to the tenant too, within a generation.
		if why := enforcementOf(f, ref).refused; why != "" {
			refusing = append(refusing, fmt.Sprintf("region %q refuses the document: %s", ref, why))
		} else if regions[i].EnforcedGeneration != f.Tenant.Generation {
			behind = append(behind, fmt.Sprintf("%q", ref))
		}
	}
	switch {
	case len(refusing) > 0:
		return conditions.Blocked(kind, v1alpha1.ReasonDocumentRefused, enumerate(refusing)+": run operator and sync server of the same release")
	case len(behind) > 0:
		return conditions.Waiting(kind, v1alpha1.ReasonNotEnforcedYet, fmt.Sprintf("region %s does not enforce the newest generation yet: see the conditions of the region if this lasts", enumerate(behind)))
	}
	return conditions.True(kind, v1alpha1.ReasonEnforced, "")
}

func regionCount(f *Facts, regions []v1alpha1.TenantRegionStatus) string {
	enforcing := 0
	for i := range regions {
		if regions[i].EnforcedGeneration == f.Tenant.Generation {
			enforcing++
		}
	}
	return fmt.Sprintf("%d/%d", enforcing, len(regions))
}

// policiesReady says honestly that this release stores policies and applies none.
func policiesReady(f *Facts) conditions.Dependent {
	const kind = v1alpha1.ConditionPoliciesReady
	if len(f.Policies) == 0 {
		return conditions.True(kind, v1alpha1.ReasonNoPolicies, "")
	}
	names := make([]string, 0, len(f.Policies))
	for _, name := range f.Policies {
		names = append(names, fmt.Sprintf("%q", name))
	}
	return conditions.Blocked(kind, v1alpha1.ReasonUnsupported, fmt.Sprintf(
		"device policy %s names this tenant, and this release stores policies without enforcing them: delete it, and use the conditional access of the identity provider", enumerate(names)))
}

// reportIdentity shows what the identity came to. While nothing new is known, what
// was known stays: it is what a restarted operator goes on with.
func reportIdentity(f *Facts, d *Decision) v1alpha1.ResolvedIdentity {
	t, r := d.identity.trust, d.identity.resolution
	if t == nil || r == nil {
		return f.Tenant.Status.Identity
	}
	return v1alpha1.ResolvedIdentity{
		Issuer:          r.issuer,
		IssuerAliases:   slices.Clone(r.aliases[:min(len(r.aliases), maxAliases)]),
		JWKSURI:         r.jwksURI,
		KeysFingerprint: r.fingerprint,
		Algorithms:      slices.Clone(r.algorithms),
		TokenProfile:    string(t.profile),
		Claims: v1alpha1.IdentityClaims{
			Address:               claimNames(t.claims.Address),
			Name:                  claimNames(t.claims.Name),
			PreferredDataLocation: v1alpha1.ClaimName(t.claims.PreferredDataLocation),
		},
	}
}

// claimNames shows the claims in the order in which they are looked for.
func claimNames(names []string) v1alpha1.ClaimName {
	return v1alpha1.ClaimName(strings.Join(names, ", "))
}
