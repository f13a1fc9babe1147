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
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
}

// Status is what the set makes of the documents of one tenant.
type Status struct {
	// Document is the enforced document, nil while there is none.
	Document *tenantdoc.Document
	// Refused says why a newer document is not enforced; empty when the newest is.
	Refused string
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

// Set is the set of documents enforced now. Readers never wait for writers: they see
// the state before or after a change, never a part of it. It is safe for concurrent
// use.
type Set struct {
	scope Scope
	log   *slog.Logger
	view  atomic.Pointer[view]
	ready chan struct{}

	mu          sync.Mutex
	entries     map[string]*entry // by source
	listed      bool
	nextID      int
	subscribers map[int]chan struct{}
}

// entry is what one source holds.
type entry struct {
	tenant  string
	doc     *tenantdoc.Document // the last good one
	refused string
	sum     [sha256.Size]byte
}

// view is one state of the set; it never changes.
type view struct {
	byIssuer map[string][]Candidate
	byTenant map[string]Status
}

// NewSet makes an empty set, which is not ready.
func NewSet(scope Scope, log *slog.Logger) *Set {
	s := &Set{
		scope:       scope,
		log:         log,
		ready:       make(chan struct{}),
		entries:     map[string]*entry{},
		subscribers: map[int]chan struct{}{},
	}
	s.view.Store(&view{})
	return s
}

// ByIssuer gives the tenants that trust an issuer, by the "iss" of its tokens,
// aliases included, sorted by tenant. The result must not be changed.
func (s *Set) ByIssuer(iss string) []Candidate {
	return s.view.Load().byIssuer[iss]
}

// Issuers gives the names of all trusted issuers, without aliases, sorted.
func (s *Set) Issuers() []string {
	var names []string
	for _, status := range s.view.Load().byTenant {
		if status.Document == nil {
			continue
		}
		for i := range status.Document.Issuers {
			names = append(names, status.Document.Issuers[i].Issuer)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ByTenant gives the enforced document of a tenant ("namespace/name"), or nil. It
// must not be changed.
func (s *Set) ByTenant(tenant string) *tenantdoc.Document {
	return s.view.Load().byTenant[tenant].Document
}

// Statuses tells of every tenant, by "namespace/name". The result must not be
// changed.
func (s *Set) Statuses() map[string]Status {
	return s.view.Load().byTenant
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.putLocked(in) {
		s.publishLocked()
	}
}

// Remove forgets the document of a source.
func (s *Set) Remove(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removeLocked(source) {
		s.publishLocked()
	}
}

// Replace takes in the full list of documents: sources that are not in it are
// forgotten. The set is ready afterwards.
func (s *Set) Replace(all []Input) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := !s.listed
	present := make(map[string]bool, len(all))
	for _, in := range all {
		present[in.Source] = true
		changed = s.putLocked(in) || changed
	}
	for source := range s.entries {
		if !present[source] {
			changed = s.removeLocked(source) || changed
		}
	}
	if !changed {
		return
	}
	s.publishLocked()
	if !s.listed {
		s.listed = true
		close(s.ready)
	}
}

func (s *Set) putLocked(in Input) (changed bool) {
	sum := sha256.Sum256(in.Raw)
	e := s.entries[in.Source]
	if e != nil && in.Err == nil && e.sum == sum && e.refused == "" {
		return false
	}
	if e == nil {
		e = &entry{}
		s.entries[in.Source] = e
	}
	doc, err := s.decode(in)
	if err != nil {
		return s.refuseLocked(e, in, err)
	}
	e.tenant, e.doc, e.refused, e.sum = doc.Tenant, doc, "", sum
	s.log.Info("tenant document enforced", "tenant", doc.Tenant, "generation", doc.Generation, "source", in.Source)
	return true
}

func (s *Set) refuseLocked(e *entry, in Input, cause error) (changed bool) {
	if e.doc == nil {
		e.tenant = claimedTenant(in)
	}
	if e.refused == cause.Error() {
		return false
	}
	e.refused = cause.Error()
	s.log.Warn("tenant document refused", "tenant", e.tenant, "source", in.Source, "reason", e.refused)
	return true
}

func (s *Set) removeLocked(source string) (changed bool) {
	e, ok := s.entries[source]
	if !ok {
		return false
	}
	delete(s.entries, source)
	s.log.Info("tenant document removed", "tenant", e.tenant, "source", source)
	return true
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

// publishLocked makes the entries visible to readers and tells subscribers.
func (s *Set) publishLocked() {
	v := &view{byIssuer: map[string][]Candidate{}, byTenant: make(map[string]Status, len(s.entries))}
	for _, source := range slices.Sorted(maps.Keys(s.entries)) {
		v.add(source, s.entries[source])
	}
	for _, candidates := range v.byIssuer {
		slices.SortFunc(candidates, func(a, b Candidate) int { return strings.Compare(a.Document.Tenant, b.Document.Tenant) })
	}
	s.view.Store(v)
	for _, c := range s.subscribers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// add takes an entry into the view. Of two documents of one tenant the first, by
// source, is enforced.
func (v *view) add(source string, e *entry) {
	status, taken := v.byTenant[e.tenant]
	if taken && status.Document != nil {
		status.Refused = source + ": a second document of the same tenant: remove one of them"
		v.byTenant[e.tenant] = status
		return
	}
	v.byTenant[e.tenant] = Status{Document: e.doc, Refused: e.refused}
	if e.doc == nil {
		return
	}
	for i := range e.doc.Issuers {
		issuer := &e.doc.Issuers[i]
		names := append([]string{issuer.Issuer}, issuer.Aliases...)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			v.byIssuer[name] = append(v.byIssuer[name], Candidate{Document: e.doc, Issuer: issuer})
		}
	}
}
