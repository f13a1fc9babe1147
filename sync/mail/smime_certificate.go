package mail

import (
	"bytes"
	"context"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// SMIMECertificateURI names the capability by which the certificates of colleagues are found.
const SMIMECertificateURI = "https://bailiwick.dev/jmap/smime"

const (
	// maxCertificates is how many certificates of an address are kept: the newest.
	maxCertificates = 4
	// maxAddress is the most octets of an address (RFC 5321 section 4.5.3.1).
	maxAddress = 254
)

// certificatesOwner begins the names of the owners of certificates, before that of the tenant.
const certificatesOwner = "certificates/"

// certificatesOf lists the certificates of an address, the newest first. They belong to the tenant in this region, and
// to no account: its owner has a slash in its name, which no account has.
func certificatesOf(tenant, address string) store.Key {
	return store.NewKey(certificatesOwner + plainTenant(tenant)).String(address)
}

// keepCertificates keeps certificates of good signatures for those who write to the same addresses, when they are of
// the tenant itself.
func (e *edit) keepCertificates(list []smime.Certificate) error {
	for i := range list {
		c := &list[i]
		if e.service.opts.Colleague == nil || !e.service.opts.Colleague(e.tenant, c.Address) {
			continue
		}
		if err := e.keepCertificate(c); err != nil {
			return err
		}
	}
	return nil
}

func (e *edit) keepCertificate(c *smime.Certificate) error {
	index := certificatesOf(e.tenant, c.Address)
	own := index.Descending(orderly(c.NotBefore.Unix())).String(c.Fingerprint)
	var kept [][]byte
	for p, err := range e.tx.Scan(e.ctx, index.Range(), store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("list certificates: %w", err)
		}
		if bytes.Equal(p.Key, own) {
			return nil
		}
		kept = append(kept, bytes.Clone(p.Key))
	}
	newer := 0
	for _, key := range kept {
		if bytes.Compare(key, own) < 0 {
			newer++
		}
	}
	if newer >= maxCertificates {
		return nil
	}
	e.tx.Set(own, c.Chain)
	for _, key := range kept[min(len(kept), maxCertificates-1):] {
		e.tx.Delete(key)
	}
	return nil
}

// certificateArguments are the arguments of SMIMECertificate/get.
type certificateArguments struct {
	AccountID string   `json:"accountId"`
	Addresses []string `json:"addresses"`
}

// Validate checks the account and the addresses.
func (a *certificateArguments) Validate(call *jmap.Call) error {
	if err := call.CheckAccount(a.AccountID); err != nil {
		return err
	}
	if a.Addresses == nil {
		return jmap.InvalidArguments("addresses: missing, name the addresses to write to")
	}
	if limit := call.Limits.MaxObjectsInGet; int64(len(a.Addresses)) > limit {
		return &jmap.MethodError{Type: jmap.ErrorRequestTooLarge, Description: fmt.Sprintf("addresses: at most %d", limit)}
	}
	for i, address := range a.Addresses {
		if _, ok := smime.NormalAddress(address); !ok || len(address) > maxAddress {
			return jmap.InvalidArguments("addresses[%d]: not a mail address", i)
		}
	}
	return nil
}

// certificateResponse is the response of SMIMECertificate/get.
type certificateResponse struct {
	AccountID string                      `json:"accountId"`
	List      jmap.List[smimeCertificate] `json:"list"`
	NotFound  jmap.List[string]           `json:"notFound"`
}

// smimeCertificate is a certificate as the answer shows it.
type smimeCertificate struct {
	Address     string `json:"address"`
	Certificate []byte `json:"certificate"`
	Fingerprint string `json:"fingerprint"`
	NotBefore   string `json:"notBefore"`
	NotAfter    string `json:"notAfter"`
}

// certificateGet answers SMIMECertificate/get: the certificates of addresses that are valid now, the newest first.
func (s *Service) certificateGet(ctx context.Context, _ *jmap.Call, args *certificateArguments) (*certificateResponse, error) {
	tenant, err := s.tenantOf(ctx, args.AccountID)
	if err != nil {
		return nil, err
	}
	out := &certificateResponse{AccountID: args.AccountID}
	trust := s.trust(tenant)
	for _, address := range args.Addresses {
		var found []smimeCertificate
		if trust != nil {
			if found, err = s.certificates(ctx, trust, tenant, address); err != nil {
				return nil, err
			}
		}
		if len(found) == 0 {
			out.NotFound = append(out.NotFound, address)
		}
		out.List = append(out.List, found...)
	}
	return out, nil
}

// certificates returns the certificates of an address that lead to a root now.
func (s *Service) certificates(ctx context.Context, trust *smime.Trust, tenant, address string) ([]smimeCertificate, error) {
	normal, _ := smime.NormalAddress(address)
	if s.opts.Colleague == nil || !s.opts.Colleague(tenant, normal) {
		return nil, nil
	}
	var out []smimeCertificate
	var last []byte
	index := certificatesOf(tenant, normal)
	for p, err := range s.engine.Scan(ctx, index.Range(), store.ScanOptions{Limit: maxCertificates}) {
		if err != nil {
			return nil, fmt.Errorf("list certificates: %w", err)
		}
		if bytes.Equal(p.Key, last) {
			continue // kept in another place too
		}
		last = append(last[:0], p.Key...)
		c, err := trust.Certify(normal, p.Value, s.opts.Now())
		if err != nil {
			continue // expired, or no longer trusted
		}
		out = append(out, smimeCertificate{
			Address: address, Certificate: c.Leaf(), Fingerprint: c.Fingerprint,
			NotBefore: utcDate(c.NotBefore.UnixMilli()), NotAfter: utcDate(c.NotAfter.UnixMilli()),
		})
	}
	return out, nil
}

// SMIMECapabilities returns the verification of S/MIME signatures (RFC 9219) and the search for certificates, for
// registration with the server. An account has them when its tenant uses S/MIME.
func (s *Service) SMIMECapabilities() []jmap.Capability {
	uses := func(p *jmap.Principal) bool { return s.trust(p.Tenant) != nil }
	return []jmap.Capability{
		{URI: SMIMEVerifyURI, For: uses},
		{URI: SMIMECertificateURI, For: uses, Methods: map[string]jmap.Method{
			"SMIMECertificate/get": jmap.Handle(s.certificateGet),
		}},
	}
}
