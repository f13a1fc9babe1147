// Package mail is JMAP Mail (RFC 8621) on the store: mailboxes, threads and emails, the blobs they are made of,
// and the provisioning of accounts.
package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// CapabilityURI names JMAP Mail in requests and sessions (RFC 8621 section 1.3.1).
const CapabilityURI = "urn:ietf:params:jmap:mail"

// The limits of an account, as its capability tells them.
const (
	maxMailboxesPerEmail = 100
	maxMailboxDepth      = 16
	maxSizeMailboxName   = 490
	maxKeywordsPerEmail  = 200
	maxSizeAttachments   = 50_000_000
	maxSizeMessage       = 75_000_000
)

// The names of the data types in states and changes.
const (
	typeEmail    = "Email"
	typeMailbox  = "Mailbox"
	typeThread   = "Thread"
	typeDelivery = "EmailDelivery"

	typeIdentity   = "Identity"
	typeSubmission = "EmailSubmission"
	typeVacation   = "VacationResponse"
)

// deliveryID stands for all deliveries of an account in its change log: only their state is told (RFC 8621 section
// 1.5), so that one entry a commit will do.
const deliveryID = "all"

// Options are the choices of a service.
type Options struct {
	// Owner names this process among those that share the store; see store.Options. Empty means "embedded", right
	// for a store that only one process can open.
	Owner string
	// Shared says that other processes write the same accounts at the same time; see store.Options.
	Shared bool
	// UploadLifetime is how long an upload is kept that no email uses; 0 means 24 hours.
	UploadLifetime time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Trust is whose S/MIME signatures a tenant believes; nil, or a nil Trust, when S/MIME is not used.
	Trust func(tenant string) *smime.Trust
	// Colleague tells whether an address, with its domain in lower case, is in a domain of a tenant; nil when S/MIME
	// is not used.
	Colleague func(tenant, address string) bool
	// Outgoing is what S/MIME must do for mail that users of a tenant send; nil demands nothing.
	Outgoing func(tenant string) smime.Policy
	// Labels tells the sensitivity labels of a tenant; nil means that there are none.
	Labels label.Source
	// Audit takes what has to be accounted for; nil discards it.
	Audit label.Audit
	// Homes tells which domains are homed in the region; nil means that none is.
	Homes Homes
	// Transport carries mail out of the region; nil means that mail to other domains fails.
	Transport delivery.Transport
	// Hostname names the host in what it writes of itself into mail; empty means "localhost".
	Hostname string
	// MaxSizeSend is the most octets of a message that may be sent; 0 means as many as an email may have.
	MaxSizeSend int64
	// MaxEffort bounds the work of one search; 0 means enough for the text of a hundred thousand emails.
	MaxEffort int64
	// Logger takes what goes wrong in the outbox, without content and addresses; nil discards it.
	Logger *slog.Logger
	// Quota is how much each account may hold; the zero value means no limit.
	Quota Quota
}

// Service answers the methods of JMAP Mail. It implements jmap.Blobs, jmap.States, jmap.Accounts and
// jmap.Shares. Its methods are safe for concurrent use.
type Service struct {
	engine  store.Engine
	journal *store.Journal
	blobs   *store.Blobs
	// completed are the accounts that were complete a moment ago.
	completed completed
	// registered are the principals that are known to their tenants.
	registered registered
	// unshared are those with whom nothing is shared.
	unshared unshared
	opts     Options
	// verified remembers verifications of signatures.
	verified verified
	// indexing are the accounts whose index is being made.
	indexing indexing
}

var (
	_ jmap.Blobs    = (*Service)(nil)
	_ jmap.States   = (*Service)(nil)
	_ jmap.Accounts = (*Service)(nil)
	_ jmap.Shares   = (*Service)(nil)
)

// New returns the service on an engine.
func New(e store.Engine, o Options) (*Service, error) {
	if o.Owner == "" {
		o.Owner = "embedded"
	}
	if o.UploadLifetime == 0 {
		o.UploadLifetime = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	withLabels(&o)
	withTenants(&o)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Hostname = cmp.Or(o.Hostname, "localhost")
	o.MaxEffort = cmp.Or(o.MaxEffort, maxEffort)
	o.MaxSizeSend = cmp.Or(o.MaxSizeSend, maxSizeMessage)
	j, err := store.NewJournal(e, store.Options{Owner: o.Owner, Shared: o.Shared, Now: o.Now})
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return &Service{engine: e, journal: j, blobs: store.NewBlobs(e, o.Now), opts: o}, nil
}

// Capability returns JMAP Mail for registration with the server.
func (s *Service) Capability() jmap.Capability {
	whole, part := accountLimits(true), accountLimits(false)
	return jmap.Capability{
		URI:     CapabilityURI,
		Account: whole,
		Of: func(p *jmap.Principal, account string) any {
			if p.Partial(account) {
				return part
			}
			return whole
		},
		Partial: true,
		Methods: map[string]jmap.Method{
			"Mailbox/get":          jmap.Handle(s.mailboxGet),
			"Mailbox/changes":      jmap.Handle(s.mailboxChanges),
			"Mailbox/query":        jmap.Handle(s.mailboxQuery),
			"Mailbox/queryChanges": jmap.Handle(s.mailboxQueryChanges),
			"Mailbox/set":          jmap.Handle(s.mailboxSet),
			"Thread/get":           jmap.Handle(s.threadGet),
			"Thread/changes":       jmap.Handle(s.threadChanges),
			"Email/get":            jmap.Handle(s.emailGet),
			"Email/changes":        jmap.Handle(s.emailChanges),
			"Email/query":          jmap.Handle(s.emailQuery),
			"Email/queryChanges":   jmap.Handle(s.emailQueryChanges),
			"Email/set":            jmap.Handle(s.emailSet),
			"Email/copy":           jmap.Handle(s.emailCopy),
			"Email/import":         jmap.Handle(s.emailImport),
			"Email/parse":          jmap.Handle(s.emailParse),
			"SearchSnippet/get":    jmap.Handle(s.snippetGet),
		},
	}
}

// accountLimits is the value of the capability for an account (RFC 8621 section 1.3.1), encoded, since the state of the
// session goes with each response.
func accountLimits(topLevel bool) json.RawMessage {
	raw, _ := json.Marshal(struct { //nolint:errchkjson // texts and numbers can be encoded
		MaxMailboxesPerEmail       int64    `json:"maxMailboxesPerEmail"`
		MaxMailboxDepth            int64    `json:"maxMailboxDepth"`
		MaxSizeMailboxName         int64    `json:"maxSizeMailboxName"`
		MaxSizeAttachmentsPerEmail int64    `json:"maxSizeAttachmentsPerEmail"`
		EmailQuerySortOptions      []string `json:"emailQuerySortOptions"`
		MayCreateTopLevelMailbox   bool     `json:"mayCreateTopLevelMailbox"`
	}{maxMailboxesPerEmail, maxMailboxDepth, maxSizeMailboxName, maxSizeAttachments, sortOptions(), topLevel})
	return raw
}

// States returns the state of each data type of an account, as /get tells it, and the state of deliveries (RFC
// 8621 section 1.5).
func (s *Service) States(ctx context.Context, account string) (map[string]string, error) {
	states := map[string]string{}
	err := s.view(ctx, account, func(r store.Reader) error {
		for _, kind := range []string{
			typeEmail, typeMailbox, typeThread, typeDelivery, typeIdentity, typeSubmission, typeVacation, typeQuota, typeNotification,
		} {
			state, err := store.State(ctx, r, account, kind)
			if err != nil {
				return err
			}
			states[kind] = state
		}
		return nil
	})
	return states, err
}

// Subscribe returns a channel that receives after something of the account changed.
func (s *Service) Subscribe(account string) (changes <-chan struct{}, cancel func()) {
	return s.engine.Hints().Listen(account)
}

// view reads an account as it is at one moment.
func (s *Service) view(ctx context.Context, account string, fn func(store.Reader) error) error {
	return s.journal.View(ctx, account, fn)
}

// changes answers a /changes call (RFC 8620 section 5.2).
func (s *Service) changes(ctx context.Context, kind string, args *jmap.ChangesArguments) (store.Changes, error) {
	return s.changesFor(ctx, nil, kind, args)
}

// changesFor answers one for a principal that may be a visitor.
func (s *Service) changesFor(ctx context.Context, p *jmap.Principal, kind string, args *jmap.ChangesArguments) (store.Changes, error) {
	limit := 0
	if args.MaxChanges != nil {
		limit = int(*args.MaxChanges)
	}
	var c store.Changes
	err := s.view(ctx, args.AccountID, func(r store.Reader) error {
		v, err := s.visitor(ctx, r, p, args.AccountID)
		if err == nil {
			c, err = v.changes(ctx, r, args.AccountID, kind, args.SinceState, limit)
		}
		return err
	})
	return c, cannotCalculate(err)
}

func changesResponse(account string, c store.Changes) jmap.ChangesResponse {
	return jmap.ChangesResponse{
		AccountID: account, OldState: c.Old, NewState: c.New, HasMoreChanges: c.HasMore,
		Created: c.Created, Updated: c.Updated, Destroyed: c.Destroyed,
	}
}

// cannotCalculate turns a state that the log does not reach into the method error for it.
func cannotCalculate(err error) error {
	if errors.Is(err, store.ErrTooOld) {
		return &jmap.MethodError{Type: jmap.ErrorCannotCalculateChanges, Description: "fetch the present state instead"}
	}
	return err
}

// readJSON reads a record. The bool tells whether it exists.
func readJSON(ctx context.Context, r store.Reader, key []byte, into any) (bool, error) {
	value, err := r.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(value, into); err != nil {
		return false, fmt.Errorf("record %q: %w", key, err)
	}
	return true, nil
}

// checkProperties refuses properties that a type does not have.
func checkProperties(properties []string, known func(string) bool) error {
	for _, p := range properties {
		if !known(p) {
			return jmap.InvalidArguments("properties: %q is not a property", p)
		}
	}
	return nil
}
