// Package tenants holds the tenant documents that a sync server enforces, keeps them
// up to date from a folder or from the ConfigMaps of a namespace, and reports back
// what is enforced.
package tenants

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Scope is the region that a server runs in. Documents of others are refused.
type Scope struct {
	// Region is the "namespace/name" of the MailboxRegion; empty accepts every region.
	Region string
	// Cloud is the name of the SovereignCloud; empty accepts every cloud.
	Cloud string
}

// Candidate is a tenant with the one of its issuers that a token claims to be from.
type Candidate struct {
	Document *tenantdoc.Document
	Issuer   *tenantdoc.Issuer
	// Grants are those of the document over shared mailboxes; nil when there are none.
	Grants *Grants
}

// Status is what the set makes of the documents of one tenant.
type Status struct {
	// Document is the enforced document, nil while there is none.
	Document *tenantdoc.Document
	// Refused says why a newer document is not enforced; empty when the newest is.
	Refused string

	grants *Grants
}

// Input is a document as it was found.
type Input struct {
	// Source is where: the name of a file or of a ConfigMap.
	Source string
	// Tenant is the tenant that the source says that it is for; it may be empty.
	Tenant string
	// Raw is the encoded document.
	Raw []byte
	// Err says why Raw could not be read.
	Err error
}

// Set is the set of documents enforced now. A change of one document costs nothing
// for the others, and readers see the state before or after it, never a part of it.
// It is safe for concurrent use.
type Set struct {
	scope Scope
	log   *slog.Logger
	ready chan struct{}

	writing sync.Mutex        // held while a document is judged, which may take long
	entries map[string]*entry // by source; guarded by writing
	listed  bool              // guarded by writing

	mu          sync.RWMutex // held for as long as an index takes; after writing
	index       index
	nextID      int
	subscribers map[int]chan struct{}
	watchers    watchers
}

// entry is what one source holds. It never changes.
type entry struct {
	tenant  string
	doc     *tenantdoc.Document // the last good one
	grants  *Grants             // of doc
	refused string
	sum     [sha256.Size]byte
}

// NewSet makes an empty set, which is not ready.
func NewSet(scope Scope, log *slog.Logger) *Set {
	return &Set{
		scope:       scope,
		log:         log,
		ready:       make(chan struct{}),
		entries:     map[string]*entry{},
		index:       newIndex(),
		subscribers: map[int]chan struct{}{},
	}
}

// ByIssuer gives the tenants that trust an issuer, by the "iss" of its tokens,
// aliases included, sorted by tenant. The result must not be changed.
func (s *Set) ByIssuer(iss string) []Candidate {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.issuers[iss]
}

// ByTenant gives the enforced document of a tenant ("namespace/name"), or nil. It
// must not be changed.
func (s *Set) ByTenant(tenant string) *tenantdoc.Document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.tenants[tenant].Document
}

// GrantsOf gives what a user of a tenant may do with its shared mailboxes by the enforced
// document. The result must not be changed.
func (s *Set) GrantsOf(tenant, address string) []Grant {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.tenants[tenant].grants.Of(address)
}

// ByDomain gives the enforced document of the tenant that has a mail domain, in lower
// case, or nil. Of several that claim it the first by name has it. It must not be
// changed.
func (s *Set) ByDomain(domain string) *tenantdoc.Document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if documents := s.index.domains[domain]; len(documents) > 0 {
		return documents[0]
	}
	return nil
}

// Statuses tells of every tenant, by "namespace/name".
func (s *Set) Statuses() map[string]Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.index.tenants)
}

// Ready tells whether the first list of documents was read, good or bad.
func (s *Set) Ready() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// Listed gives a channel that is closed when the set becomes ready.
func (s *Set) Listed() <-chan struct{} {
	return s.ready
}

// Subscribe gives a channel that receives a value after the set changed. Changes
// that nobody waits for are coalesced. Cancel releases it.
func (s *Set) Subscribe() (changes <-chan struct{}, cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextID
	s.nextID++
	c := make(chan struct{}, 1)
	s.subscribers[id] = c
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, id)
	}
}

// Put takes in one new or changed document. A document that is refused leaves the
// last good one of its source in force, and Statuses says why.
func (s *Set) Put(in Input) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.put(in) {
		s.tell()
	}
}

// Remove forgets the document of a source.
func (s *Set) Remove(source string) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.remove(source) {
		s.tell()
	}
}

// Replace takes in the full list of documents: sources that are not in it are
// forgotten. The set is ready afterwards.
func (s *Set) Replace(all []Input) {
	s.writing.Lock()
	defer s.writing.Unlock()
	changed := !s.listed
	present := make(map[string]bool, len(all))
	for _, in := range all {
		present[in.Source] = true
		changed = s.put(in) || changed
	}
	for source := range s.entries {
		if !present[source] {
			changed = s.remove(source) || changed
		}
	}
	if !changed {
		return
	}
	if !s.listed {
		s.listed = true
		close(s.ready)
	}
	s.tell()
}

func (s *Set) put(in Input) (changed bool) {
	sum := sha256.Sum256(in.Raw)
	e, known := s.entries[in.Source]
	if known && in.Err == nil && e.sum == sum && e.refused == "" {
		return false
	}
	doc, err := s.decode(in)
	if err != nil {
		return s.refuse(e, in, err)
	}
	s.set(in.Source, &entry{tenant: doc.Tenant, doc: doc, grants: newGrants(doc), sum: sum})
	s.log.Info("tenant document enforced", "tenant", doc.Tenant, "generation", doc.Generation, "source", in.Source)
	return true
}

// refuse keeps the last good document of a source, if there is one.
func (s *Set) refuse(last *entry, in Input, cause error) (changed bool) {
	e := &entry{refused: cause.Error()}
	if last != nil {
		e.tenant, e.doc, e.grants, e.sum = last.tenant, last.doc, last.grants, last.sum
	}
	if e.doc == nil {
		e.tenant = claimedTenant(in)
	}
	if last != nil && *last == *e {
		return false
	}
	s.set(in.Source, e)
	s.log.Warn("tenant document refused", "tenant", e.tenant, "source", in.Source, "reason", e.refused)
	return true
}

func (s *Set) remove(source string) (changed bool) {
	e, known := s.entries[source]
	if !known {
		return false
	}
	s.set(source, nil)
	s.log.Info("tenant document removed", "tenant", e.tenant, "source", source)
	return true
}

// set makes an entry of a source, or nothing, visible to readers.
func (s *Set) set(source string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, known := s.entries[source]; known {
		delete(s.entries, source)
		s.index.leave(last.tenant, source, s.entries)
		s.watchers.tell(last.tenant)
	}
	if e != nil {
		s.entries[source] = e
		s.index.join(e.tenant, source, s.entries)
		s.watchers.tell(e.tenant)
	}
}

// decode reads a document and holds it against the server's region.
func (s *Set) decode(in Input) (*tenantdoc.Document, error) {
	if in.Err != nil {
		return nil, in.Err
	}
	if len(bytes.TrimSpace(in.Raw)) == 0 {
		return nil, fmt.Errorf("%q holds no document: put the encoded tenant document there, in a ConfigMap under %q", in.Source, tenantdoc.DocumentKey)
	}
	doc, err := tenantdoc.Decode(in.Raw)
	switch {
	case err != nil:
		return nil, err
	case s.scope.Region != "" && doc.Region != s.scope.Region:
		return nil, fmt.Errorf("document is for region %q, this server serves %q: give it to a server of that region", doc.Region, s.scope.Region)
	case s.scope.Cloud != "" && doc.Cloud != s.scope.Cloud:
		return nil, fmt.Errorf("document is of cloud %q, this server is in %q: a tenant lives in the regions of its own cloud", doc.Cloud, s.scope.Cloud)
	case in.Tenant != "" && doc.Tenant != in.Tenant:
		return nil, fmt.Errorf("document is of tenant %q, its source is labelled for %q: correct the label or the document", doc.Tenant, in.Tenant)
	}
	return doc, nil
}

// claimedTenant names the tenant of a document that is refused, as well as it can be
// told.
func claimedTenant(in Input) string {
	if in.Tenant != "" {
		return in.Tenant
	}
	var doc struct {
		Tenant string `json:"tenant"`
	}
	if err := json.Unmarshal(in.Raw, &doc); err == nil && doc.Tenant != "" {
		return doc.Tenant
	}
	return in.Source
}

// tell tells subscribers that something changed.
func (s *Set) tell() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.subscribers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
