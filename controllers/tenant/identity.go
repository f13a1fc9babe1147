package tenant

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/issuers"
	"github.com/bailiwick-dev/bailiwick/internal/egress"
)

// maxURL is how long a URL of an issuer may be in status.
const maxURL = 512

// trust is whom a tenant's spec asks to trust, within what its cloud allows.
type trust struct {
	profile     tenantdoc.Profile
	query       issuers.Query
	audiences   []string
	clientIDs   []string
	directoryID string
	claims      tenantdoc.Claims
}

// resolution is what an issuer's own documents add to a trust.
type resolution struct {
	issuer      string
	aliases     []string
	jwksURI     string
	fingerprint string
	algorithms  []string
}

// problem is why something is not accepted.
type problem struct {
	reason, message string
	// temporary problems go away without a person.
	temporary bool
}

func (p *problem) dependent(kind string) conditions.Dependent {
	if p.temporary {
		return conditions.Waiting(kind, p.reason, p.message)
	}
	return conditions.Blocked(kind, p.reason, p.message)
}

// resolveTrust holds the identity of a tenant's spec against its cloud.
func resolveTrust(cloud *v1alpha1.SovereignCloud, identity *v1alpha1.TenantIdentity) (*trust, *problem) {
	ranges, p := privateRanges(cloud)
	if p != nil {
		return nil, p
	}
	var t *trust
	switch {
	case identity.Type == v1alpha1.IdentityEntra && identity.Entra != nil:
		t, p = entraTrust(cloud, identity.Entra)
	case identity.Type == v1alpha1.IdentityADFS && identity.ADFS != nil:
		t, p = issuerTrust(cloud, identity.ADFS, "spec.identity.adfs.issuer", tenantdoc.ProfileADFS)
	case identity.Type == v1alpha1.IdentityOIDC && identity.OIDC != nil:
		t, p = issuerTrust(cloud, identity.OIDC, "spec.identity.oidc.issuer", tenantdoc.ProfileRFC9068)
	default:
		p = &problem{reason: v1alpha1.ReasonInvalidSpec, message: fmt.Sprintf("spec.identity has type %q and no settings of that type: set the field of the type", identity.Type)}
	}
	if p != nil {
		return nil, p
	}
	t.query.PrivateRanges = ranges
	t.claims = claimsInForce(identity)
	return t, nil
}

func privateRanges(cloud *v1alpha1.SovereignCloud) ([]netip.Prefix, *problem) {
	ranges := make([]netip.Prefix, 0, len(cloud.Spec.Identity.PrivateRanges))
	for _, raw := range cloud.Spec.Identity.PrivateRanges {
		prefix, err := netip.ParsePrefix(string(raw))
		if err != nil {
			return nil, &problem{reason: v1alpha1.ReasonInvalidSpec, message: fmt.Sprintf("spec.identity.privateRanges of cloud %q: %q is not a CIDR prefix: write it as 10.20.0.0/16", cloud.Name, raw)}
		}
		ranges = append(ranges, prefix)
	}
	return ranges, nil
}

// entraTrust trusts one directory at the cloud's own authority, whose hosts have
// aliases: metadata may name another one than the one that was asked, and v1.0
// tokens name hosts that serve no documents.
func entraTrust(cloud *v1alpha1.SovereignCloud, entra *v1alpha1.EntraIdentity) (*trust, *problem) {
	hosts := hostNames(cloud.Spec.Identity.AuthorityHosts)
	if len(hosts) == 0 {
		return nil, &problem{
			reason:  v1alpha1.ReasonIssuerOutsideCloud,
			message: fmt.Sprintf("cloud %q has no Entra authority (spec.identity.authorityHosts is empty): set spec.identity.type to ADFS or OIDC and name an issuer that the cloud allows", cloud.Name),
		}
	}
	t := &trust{
		profile:     tenantdoc.ProfileEntra,
		query:       issuers.Query{Issuer: entraIssuer(hosts[0], entra.DirectoryID), Hosts: hosts},
		audiences:   stringsOf(entra.Audiences),
		clientIDs:   stringsOf(entra.ClientIDs),
		directoryID: entra.DirectoryID,
	}
	for _, alias := range hosts[1:] {
		t.query.Aliases = append(t.query.Aliases, entraIssuer(alias, entra.DirectoryID))
	}
	for _, host := range hostNames(cloud.Spec.Identity.TokenIssuerHosts) {
		t.query.Aliases = append(t.query.Aliases, "https://"+bracketed(host)+"/"+entra.DirectoryID+"/")
	}
	return t, nil
}

func entraIssuer(host, directory string) string {
	return "https://" + bracketed(host) + "/" + directory + "/v2.0"
}

// bracketed writes an IPv6 address as URLs want it (RFC 3986 §3.2.2).
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func issuerTrust(cloud *v1alpha1.SovereignCloud, identity *v1alpha1.IssuerIdentity, field string, profile tenantdoc.Profile) (*trust, *problem) {
	u, err := url.Parse(identity.Issuer)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, &problem{reason: v1alpha1.ReasonInvalidSpec, message: fmt.Sprintf("%s: %q is not an https URL without query and fragment: write it as https://host/path", field, identity.Issuer)}
	}
	host := strings.ToLower(u.Hostname())
	if !allowedIssuerHost(cloud, host) {
		return nil, &problem{
			reason:  v1alpha1.ReasonIssuerOutsideCloud,
			message: fmt.Sprintf("%s: host %q is not one that cloud %q allows (%s): use an allowed host, or have the cloud's administrator add it to spec.identity.tenantIssuerHosts", field, host, cloud.Name, allowedIssuerHosts(cloud)),
		}
	}
	hosts := []string{host}
	for _, pattern := range cloud.Spec.Identity.TenantIssuerHosts {
		if exact := string(pattern); !strings.HasPrefix(exact, "*.") && !slices.Contains(hosts, exact) {
			hosts = append(hosts, exact)
		}
	}
	return &trust{
		profile:   profile,
		query:     issuers.Query{Issuer: identity.Issuer, Hosts: hosts},
		audiences: stringsOf(identity.Audiences),
		clientIDs: stringsOf(identity.ClientIDs),
	}, nil
}

func allowedIssuerHost(cloud *v1alpha1.SovereignCloud, host string) bool {
	return slices.ContainsFunc(cloud.Spec.Identity.TenantIssuerHosts, func(p v1alpha1.IssuerHostPattern) bool {
		under, wildcard := strings.CutPrefix(string(p), "*")
		return string(p) == host || wildcard && len(host) > len(under) && strings.HasSuffix(host, under)
	})
}

func allowedIssuerHosts(cloud *v1alpha1.SovereignCloud) string {
	hosts := stringsOf(cloud.Spec.Identity.TenantIssuerHosts)
	if len(hosts) == 0 {
		return "none"
	}
	slices.Sort(hosts)
	return enumerate(hosts)
}

// withinBoundary tells whether a cloud still allows an issuer that a document
// names.
func withinBoundary(cloud *v1alpha1.SovereignCloud, issuer *tenantdoc.Issuer) bool {
	for _, raw := range []string{issuer.Issuer, issuer.JWKSURI} {
		u, err := url.Parse(raw)
		if err != nil {
			return false
		}
		host := strings.ToLower(u.Hostname())
		entra := issuer.Profile == tenantdoc.ProfileEntra
		if entra && !slices.Contains(hostNames(cloud.Spec.Identity.AuthorityHosts), host) || !entra && !allowedIssuerHost(cloud, host) {
			return false
		}
	}
	return true
}

func claimsInForce(identity *v1alpha1.TenantIdentity) tenantdoc.Claims {
	claims := tenantdoc.Claims{Name: []string{"name"}, PreferredDataLocation: "xms_pdl"}
	switch identity.Type {
	case v1alpha1.IdentityEntra:
		claims.Address = []string{"preferred_username", "upn", "email"}
	case v1alpha1.IdentityADFS:
		claims.Address = []string{"upn", "email"}
	default:
		claims.Address = []string{"email"}
	}
	if c := identity.Claims.Address; c != "" {
		claims.Address = []string{string(c)}
	}
	if c := identity.Claims.Name; c != "" {
		claims.Name = []string{string(c)}
	}
	if c := identity.Claims.PreferredDataLocation; c != "" {
		claims.PreferredDataLocation = string(c)
	}
	return claims
}

// resolve takes what the issuer answered, else what it answered before the operator
// started, which status remembers. Nil means that nothing is known.
func (t *trust) resolve(answer issuers.Answer, before *v1alpha1.ResolvedIdentity) *resolution {
	if p := answer.Provider; p != nil {
		r := &resolution{issuer: p.Issuer, jwksURI: p.JWKSURI, fingerprint: p.Fingerprint, algorithms: acceptedAlgorithms(p.Algorithms)}
		for _, spelling := range slices.Concat([]string{t.query.Issuer}, t.query.Aliases, []string{p.AccessTokenIssuer}) {
			if spelling != "" && spelling != p.Issuer && !slices.Contains(r.aliases, spelling) {
				r.aliases = append(r.aliases, spelling)
			}
		}
		return r
	}
	if !t.remembers(before) {
		return nil
	}
	return &resolution{
		issuer: before.Issuer, aliases: before.IssuerAliases, jwksURI: before.JWKSURI,
		fingerprint: before.KeysFingerprint, algorithms: acceptedAlgorithms(before.Algorithms),
	}
}

// remembers tells whether a resolved identity in status came from this trust.
func (t *trust) remembers(before *v1alpha1.ResolvedIdentity) bool {
	known := before.Issuer == t.query.Issuer || slices.Contains(t.query.Aliases, before.Issuer)
	u, err := url.Parse(before.JWKSURI)
	return known && err == nil && u.Scheme == "https" &&
		slices.Contains(t.query.Hosts, strings.ToLower(u.Hostname())) &&
		before.TokenProfile == string(t.profile) && len(acceptedAlgorithms(before.Algorithms)) > 0
}

func acceptedAlgorithms(names []string) []string {
	var accepted []string
	for _, name := range names {
		if tenantdoc.IsAcceptedAlgorithm(name) {
			accepted = append(accepted, name)
		}
	}
	slices.Sort(accepted)
	return slices.Compact(accepted)
}

// identityVerdict is what the identity of a tenant comes to.
type identityVerdict struct {
	trust      *trust
	resolution *resolution
	condition  conditions.Dependent
	// pending tells that the issuer was asked and has not answered yet.
	pending bool
}

// judgeIdentity says what the facts about an issuer mean.
func judgeIdentity(f *Facts) identityVerdict {
	const kind = v1alpha1.ConditionIdentityReady
	if f.Cloud == nil {
		return identityVerdict{condition: conditions.Unknown(kind, v1alpha1.ReasonCloudNotFound, fmt.Sprintf("cloud %q, which says what issuers are allowed, does not exist", f.Tenant.Spec.Cloud))}
	}
	if f.TrustProblem != nil {
		return identityVerdict{condition: f.TrustProblem.dependent(kind)}
	}
	if f.BundleProblem != nil {
		// Without the bundle no complete document can be rendered: what is served stays.
		return identityVerdict{trust: f.Trust, condition: f.BundleProblem.dependent(kind)}
	}
	v := identityVerdict{trust: f.Trust, resolution: f.Trust.resolve(f.Answer, &f.Tenant.Status.Identity)}
	if !f.Answer.Asked {
		v.pending = true
		v.condition = pendingCondition(f, v.resolution)
		return v
	}
	v.condition = answerCondition(f, v.resolution)
	if r := v.resolution; r != nil && (len(r.jwksURI) > maxURL || len(r.issuer) > maxURL || len(r.algorithms) == 0) {
		v.resolution = nil
		v.condition = conditions.Blocked(kind, v1alpha1.ReasonIssuerInvalid, fmt.Sprintf("issuer %q names a URL of more than %d characters, or no accepted signature algorithm: correct its discovery document", f.Trust.query.Issuer, maxURL))
	}
	return v
}

// pendingCondition leaves what was said before as it is when the operator has just
// started and the spec is the one that was judged.
func pendingCondition(f *Facts, r *resolution) conditions.Dependent {
	const kind = v1alpha1.ConditionIdentityReady
	before := meta.FindStatusCondition(f.Tenant.Status.Conditions, kind)
	if before != nil && before.ObservedGeneration == f.Tenant.Generation && (r != nil || before.Status != metav1.ConditionTrue) {
		return conditions.Dependent{Type: kind, Status: before.Status, Reason: before.Reason, Message: before.Message, Stalled: isStalled(before.Reason)}
	}
	return conditions.Waiting(kind, v1alpha1.ReasonProgressing, fmt.Sprintf("the documents of issuer %q are being fetched", f.Trust.query.Issuer))
}

// isStalled tells of a reason of IdentityReady whether a person must act.
func isStalled(reason string) bool {
	switch reason {
	case v1alpha1.ReasonIssuerVerified, v1alpha1.ReasonIssuerUnreachable, v1alpha1.ReasonProgressing:
		return false
	default:
		return true
	}
}

func answerCondition(f *Facts, r *resolution) conditions.Dependent {
	const kind = v1alpha1.ConditionIdentityReady
	err := f.Answer.Err
	if err == nil {
		return conditions.True(kind, v1alpha1.ReasonIssuerVerified, "")
	}
	reason := issuerReason(err)
	switch {
	case reason == v1alpha1.ReasonIssuerUnreachable && r != nil:
		return conditions.True(kind, reason, fmt.Sprintf("%v; what the issuer published before stays in force", err))
	case reason == v1alpha1.ReasonIssuerUnreachable:
		return conditions.Waiting(kind, reason, err.Error())
	case r != nil:
		return conditions.Blocked(kind, reason, fmt.Sprintf("%v; what the issuer published before stays in force", err))
	}
	return conditions.Blocked(kind, reason, err.Error())
}

// issuerReasons are the reasons for the kinds of failure, looked through in order.
var issuerReasons = []struct {
	kind   error
	reason string
}{
	{egress.ErrAddressRefused, v1alpha1.ReasonIssuerAddressRefused},
	{egress.ErrIssuerMismatch, v1alpha1.ReasonIssuerMismatch},
	{egress.ErrNoKeys, v1alpha1.ReasonKeysEmpty},
	{egress.ErrHostNotAllowed, v1alpha1.ReasonIssuerOutsideCloud},
	{egress.ErrUnreachable, v1alpha1.ReasonIssuerUnreachable},
	{egress.ErrStatus, v1alpha1.ReasonIssuerUnreachable},
	{egress.ErrBadPolicy, v1alpha1.ReasonSecretMalformed},
}

func issuerReason(err error) string {
	for _, known := range issuerReasons {
		if errors.Is(err, known.kind) {
			return known.reason
		}
	}
	return v1alpha1.ReasonIssuerInvalid
}

func hostNames(hosts []v1alpha1.CloudHost) []string {
	names := make([]string, 0, len(hosts))
	for i := range hosts {
		names = append(names, string(hosts[i].Host))
	}
	return names
}

func stringsOf[T ~string](values []T) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}
