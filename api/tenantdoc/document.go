// Package tenantdoc is the only contract between the operator and the sync
// server: the versioned document that the operator writes per tenant and region,
// and the report that a sync replica writes back. Both travel in ConfigMaps of the
// region's own API server; outside Kubernetes documents are read from a folder.
package tenantdoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// FormatVersion is the document format that this release writes. A reader refuses
// a document of another version rather than guess what it means.
const FormatVersion = "1"

// MaxDocumentBytes bounds an encoded document so that it fits a ConfigMap (1 MiB
// with its metadata).
const MaxDocumentBytes = 900 << 10

// ErrInvalid is wrapped by every error that Decode and Validate return.
var ErrInvalid = errors.New("tenant document invalid")

// Document is what one region enforces for one tenant.
type Document struct {
	// Version is the format version, FormatVersion when written by this release.
	Version string `json:"version"`
	// Tenant is the "namespace/name" of the Tenant object.
	Tenant string `json:"tenant"`
	// UID is the UID of the Tenant object: a tenant that is deleted and created
	// again is another tenant.
	UID string `json:"uid"`
	// Generation is the metadata.generation of the Tenant that this document
	// renders. A region reports it back when it enforces it.
	Generation int64 `json:"generation"`
	// Cloud is the name of the SovereignCloud that bounds the tenant.
	Cloud string `json:"cloud"`
	// Suspended refuses every request of the tenant when true.
	Suspended bool `json:"suspended,omitempty"`
	// Domains are the mail domains of the tenant, lower case, sorted.
	Domains []string `json:"domains"`
	// Region is the "namespace/name" of the region that this document is for.
	Region string `json:"region"`
	// Regions lists every region of the tenant, the home region first.
	Regions []Region `json:"regions"`
	// Issuers are the token issuers that the tenant trusts, and no other.
	Issuers []Issuer `json:"issuers"`
	// Features are the optional functions that the tenant has turned on.
	Features Features `json:"features"`
	// SMIME is whose signatures are believed and what mail must carry to leave; it
	// counts when the feature is on.
	SMIME *SMIME `json:"smime,omitempty"`
	// SharedMailboxes are those that live in the region of the document, sorted by
	// address.
	SharedMailboxes []SharedMailbox `json:"sharedMailboxes,omitempty"`
	// Labels are the sensitivity labels of the tenant, the lowest rank first.
	Labels []Label `json:"labels,omitempty"`
}

// Region is one region in which a tenant has mailboxes.
type Region struct {
	// Name is the "namespace/name" of the MailboxRegion.
	Name string `json:"name"`
	// Geography is the Multi-Geo code, for example "EUR". It is unique in a tenant.
	Geography string `json:"geography"`
	// URL is the https base URL of the region's sync endpoint, without a path.
	URL string `json:"url"`
	// Home marks the region of mailboxes whose token names no location.
	Home bool `json:"home,omitempty"`
}

// Profile names the rules by which tokens of an issuer are verified; issuers differ
// in what their access tokens carry.
type Profile string

// The token profiles.
const (
	// ProfileRFC9068 is the strict JWT profile for OAuth 2.0 access tokens (RFC 9068).
	ProfileRFC9068 Profile = "rfc9068"
	// ProfileEntra is the Microsoft Entra ID access token, versions 1.0 and 2.0.
	ProfileEntra Profile = "entra"
	// ProfileADFS is the AD FS access token.
	ProfileADFS Profile = "adfs"
)

// Issuer is one trusted token issuer.
type Issuer struct {
	// Profile selects the verification rules.
	Profile Profile `json:"profile"`
	// Issuer is the accepted "iss" claim.
	Issuer string `json:"issuer"`
	// Aliases are further accepted spellings of "iss" (Entra v1.0 tokens, renamed
	// authority hosts).
	Aliases []string `json:"aliases,omitempty"`
	// JWKSURI is where the signing keys are fetched.
	JWKSURI string `json:"jwksURI"`
	// AllowedHosts are the hosts (lower case, without port) from which keys may be
	// fetched.
	AllowedHosts []string `json:"allowedHosts"`
	// PrivateRanges are the non-public address ranges in which these hosts may
	// resolve, as CIDR prefixes. Everywhere else only public addresses are dialled.
	PrivateRanges []string `json:"privateRanges,omitempty"`
	// CABundle holds PEM certificates that are trusted, in place of the system's,
	// when keys are fetched.
	CABundle string `json:"caBundle,omitempty"`
	// Audiences are the accepted "aud" values; one must match.
	Audiences []string `json:"audiences"`
	// ClientIDs are the accepted client applications; empty accepts every client
	// of the issuer.
	ClientIDs []string `json:"clientIDs,omitempty"`
	// Scopes are the scopes of which a delegated token must carry at least one;
	// empty requires none.
	Scopes []string `json:"scopes,omitempty"`
	// Algorithms are the accepted JWS algorithms, asymmetric ones only.
	Algorithms []string `json:"algorithms"`
	// DirectoryID is the Entra directory (tenant) id that the "tid" claim must
	// equal; required by ProfileEntra.
	DirectoryID string `json:"directoryID,omitempty"`
	// Claims names the claims that carry identity and location.
	Claims Claims `json:"claims"`
}

// Claims names the token claims from which a principal is made. The operator
// resolves defaults, so every name is set.
type Claims struct {
	// Address carries the mailbox address; the first claim that is present counts.
	Address []string `json:"address"`
	// Name carries the display name; the first claim that is present counts.
	Name []string `json:"name"`
	// PreferredDataLocation carries the geography code of the mailbox.
	PreferredDataLocation string `json:"preferredDataLocation"`
}

// Features are the functions that a tenant may turn on.
type Features struct {
	SMIME             bool `json:"smime,omitempty"`
	SensitivityLabels bool `json:"sensitivityLabels,omitempty"`
	SharedMailboxes   bool `json:"sharedMailboxes,omitempty"`
}

// Encode validates the document and renders it deterministically: the same
// document always yields the same bytes. Errors wrap ErrInvalid.
func Encode(d *Document) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%w: encode: %w", ErrInvalid, err)
	}
	if len(raw) > MaxDocumentBytes {
		return nil, fmt.Errorf("%w: document of tenant %q has %d bytes, more than %d: shorten %s", ErrInvalid, d.Tenant, len(raw), MaxDocumentBytes, d.longest())
	}
	return raw, nil
}

// Decode reads and validates a document. Fields that this release does not know
// are ignored within a format version; another version is refused. Errors wrap
// ErrInvalid and name the field.
func Decode(raw []byte) (*Document, error) {
	if len(raw) > MaxDocumentBytes {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrInvalid, len(raw), MaxDocumentBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	d := &Document{}
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("%w: not JSON: %w", ErrInvalid, err)
	}
	if dec.More() {
		return nil, fmt.Errorf("%w: data after the document", ErrInvalid)
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return d, nil
}

// Validate checks what a reader relies on. Errors wrap ErrInvalid and name the
// field.
func (d *Document) Validate() error {
	checks := []error{
		d.validateIdentityFields(),
		validateDomains(d.Domains),
		d.validateRegions(),
		validateIssuers(d.Issuers),
		d.SMIME.validate(),
		d.validateSharedMailboxes(),
		validateLabels(d.Labels),
	}
	for _, err := range checks {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}

func (d *Document) validateIdentityFields() error {
	switch {
	case d.Version != FormatVersion:
		return fmt.Errorf("version: %q is not %q: run operator and sync server of the same release", d.Version, FormatVersion)
	case !isNamespacedName(d.Tenant):
		return fmt.Errorf("tenant: %q is not namespace/name", d.Tenant)
	case d.UID == "":
		return errors.New("uid: missing")
	case d.Generation < 1:
		return fmt.Errorf("generation: %d is below 1", d.Generation)
	case d.Cloud == "":
		return errors.New("cloud: missing")
	}
	return nil
}

func validateDomains(domains []string) error {
	if len(domains) == 0 {
		return errors.New("domains: empty")
	}
	for i, domain := range domains {
		if domain == "" || domain != strings.ToLower(domain) || strings.ContainsAny(domain, "@/ ") {
			return fmt.Errorf("domains[%d]: %q is not a lower-case domain name", i, domain)
		}
	}
	return nil
}

func (d *Document) validateRegions() error {
	homes, self := 0, false
	geographies := map[string]bool{}
	for i, r := range d.Regions {
		if err := r.validate(); err != nil {
			return fmt.Errorf("regions[%d].%w", i, err)
		}
		if geographies[r.Geography] {
			return fmt.Errorf("regions[%d].geography: %q occurs twice", i, r.Geography)
		}
		geographies[r.Geography] = true
		self = self || r.Name == d.Region
		if r.Home {
			homes++
		}
	}
	if homes != 1 {
		return fmt.Errorf("regions: %d home regions, want exactly one", homes)
	}
	if !self {
		return fmt.Errorf("region: %q is not among regions", d.Region)
	}
	return nil
}

func (r Region) validate() error {
	if !isNamespacedName(r.Name) {
		return fmt.Errorf("name: %q is not namespace/name", r.Name)
	}
	if r.Geography == "" {
		return errors.New("geography: missing")
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("url: %q is not an https base URL", r.URL)
	}
	return nil
}

func validateIssuers(issuers []Issuer) error {
	if len(issuers) == 0 {
		return errors.New("issuers: empty")
	}
	for i := range issuers {
		if err := issuers[i].validate(); err != nil {
			return fmt.Errorf("issuers[%d].%w", i, err)
		}
	}
	return nil
}

func (s *Issuer) validate() error {
	checks := []error{
		s.validateProfile(),
		requireHTTPS("issuer", s.Issuer),
		requireHTTPS("jwksURI", s.JWKSURI),
		requireEntries("allowedHosts", s.AllowedHosts),
		requireEntries("audiences", s.Audiences),
		requireEntries("claims.address", s.Claims.Address),
		s.validateAlgorithms(),
		validatePrefixes(s.PrivateRanges),
	}
	return errors.Join(checks...)
}

func (s *Issuer) validateProfile() error {
	switch s.Profile {
	case ProfileRFC9068, ProfileADFS:
		return nil
	case ProfileEntra:
		if s.DirectoryID == "" {
			return errors.New("directoryID: missing, the entra profile needs it")
		}
		return nil
	default:
		return fmt.Errorf("profile: %q is unknown", s.Profile)
	}
}

func (s *Issuer) validateAlgorithms() error {
	if len(s.Algorithms) == 0 {
		return errors.New("algorithms: empty")
	}
	for i, alg := range s.Algorithms {
		if !IsAcceptedAlgorithm(alg) {
			return fmt.Errorf("algorithms[%d]: %q is not an accepted asymmetric algorithm", i, alg)
		}
	}
	return nil
}

// IsAcceptedAlgorithm tells whether a JWS algorithm (RFC 7518 §3.1, RFC 8037) may
// sign access tokens: asymmetric signatures only, never "none" and never an HMAC.
func IsAcceptedAlgorithm(alg string) bool {
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA":
		return true
	default:
		return false
	}
}

func validatePrefixes(prefixes []string) error {
	for i, p := range prefixes {
		if _, err := netip.ParsePrefix(p); err != nil {
			return fmt.Errorf("privateRanges[%d]: %q is not a CIDR prefix", i, p)
		}
	}
	return nil
}

func requireHTTPS(field, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("%s: %q is not an https URL", field, raw)
	}
	return nil
}

func requireEntries(field string, entries []string) error {
	if len(entries) == 0 {
		return fmt.Errorf("%s: empty", field)
	}
	return nil
}

func isNamespacedName(s string) bool {
	namespace, name, ok := strings.Cut(s, "/")
	return ok && namespace != "" && name != "" && !strings.Contains(name, "/")
}
