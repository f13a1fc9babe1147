package main

import (
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// smimeTrust reads whose S/MIME signatures tenants believe from their documents, each document once.
type smimeTrust struct {
	documents *tenants.Set
	logger    *slog.Logger

	mu    sync.Mutex
	known map[string]trusted
}

type trusted struct {
	document *tenantdoc.Document
	trust    *smime.Trust
}

// of returns the trust of a tenant, or nil when it does not use S/MIME.
func (t *smimeTrust) of(tenant string) *smime.Trust {
	document := t.documents.ByTenant(tenant)
	t.mu.Lock()
	defer t.mu.Unlock()
	if document == nil || !document.Features.SMIME {
		delete(t.known, tenant)
		return nil
	}
	if have, ok := t.known[tenant]; ok && have.document == document {
		return have.trust
	}
	section := document.SMIME
	if section == nil {
		section = &tenantdoc.SMIME{}
	}
	trust, err := smime.NewTrust(section.Roots, section.Intermediates)
	if err != nil {
		// Validation of the document lets nothing pass that cannot be read.
		t.logger.Error("trust anchors of S/MIME cannot be read", slog.String("tenant", tenant), slog.Any("error", err))
		return nil
	}
	if t.known == nil {
		t.known = map[string]trusted{}
	}
	t.known[tenant] = trusted{document: document, trust: trust}
	return trust
}

// colleague tells whether an address is in a domain of a tenant.
func (t *smimeTrust) colleague(tenant, address string) bool {
	document := t.documents.ByTenant(tenant)
	return document != nil && slices.Contains(document.Domains, address[strings.LastIndexByte(address, '@')+1:])
}

// outgoing is what mail of a tenant must carry to be sent.
func (t *smimeTrust) outgoing(tenant string) smime.Policy {
	document := t.documents.ByTenant(tenant)
	if document == nil || !document.Features.SMIME || document.SMIME == nil {
		return smime.Policy{}
	}
	return smime.Policy{RequireSigned: document.SMIME.Outgoing.RequireSigned, RequireEncrypted: document.SMIME.Outgoing.RequireEncrypted}
}
