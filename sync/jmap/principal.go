package jmap

import (
	"net/http"
	"time"
)

// Principal is who a request acts for. The gate makes it from a verified token and
// the tenant document; nothing in it is taken from the request unverified.
type Principal struct {
	// Tenant is the "namespace/name" of the Tenant.
	Tenant string
	// AccountID is the JMAP account of the mailbox. It is stable: derived from
	// issuer and subject, never from the address.
	AccountID string
	// Address is the primary address, in one of the tenant's domains, lower case.
	Address string
	// Name is the display name; it may be empty.
	Name string
	// ClientID names the client application that the token was issued to.
	ClientID string
	// TokenID names the token, for audit; it may be empty.
	TokenID string
	// Expires is when the token stops to be valid. Push streams end then.
	Expires time.Time
	// Shared are further accounts that the principal may use.
	Shared []SharedAccount
	// Sending are the addresses besides its own that the principal may send from.
	Sending []SendingRight
}

// SendingRight lets a principal send from the address of a shared mailbox.
type SendingRight struct {
	// Address of the shared mailbox, lower case.
	Address string
	// Name is the display name of the shared mailbox; it may be empty.
	Name string
	// OnBehalf demands that the message names the principal's own address as its
	// Sender (RFC 5322 §3.6.2); otherwise it may be left out.
	OnBehalf bool
}

// SharedAccount is an account of somebody else that a principal may use.
type SharedAccount struct {
	// AccountID is the JMAP account.
	AccountID string
	// Name is shown to the user.
	Name string
	// Address is the account's own, lower case; empty when it has none.
	Address string
	// ReadOnly is true when nothing in the account may be changed.
	ReadOnly bool
	// Partial is true when only some records of the account are shared, each with its
	// own rights. Methods of capabilities that are not made for it refuse the account.
	Partial bool
	// Unsubscribed leaves the account out of the session object and of push: there is
	// nothing in it that the principal subscribes to (RFC 9670 §1.5).
	Unsubscribed bool
}

// Owner is the principal of the account itself, for provisioning it: nobody acts as
// that.
func (a *SharedAccount) Owner(tenant string) *Principal {
	return &Principal{Tenant: tenant, AccountID: a.AccountID, Address: a.Address, Name: a.Name}
}

// Visible lists the accounts of the session object, whose changes the principal is told
// of: its own first, then those of others, but for unsubscribed ones.
func (p *Principal) Visible() []string {
	accounts := []string{p.AccountID}
	for _, shared := range p.Shared {
		if !shared.Unsubscribed {
			accounts = append(accounts, shared.AccountID)
		}
	}
	return accounts
}

// CanRead tells whether the principal may use an account.
func (p *Principal) CanRead(accountID string) bool {
	return accountID == p.AccountID || p.shared(accountID) != nil
}

// CanWrite tells whether the principal may change an account.
func (p *Principal) CanWrite(accountID string) bool {
	if accountID == p.AccountID {
		return true
	}
	shared := p.shared(accountID)
	return shared != nil && !shared.ReadOnly
}

// Partial tells whether the principal may use an account only as far as records of it
// are shared.
func (p *Principal) Partial(accountID string) bool {
	if accountID == p.AccountID {
		return false
	}
	shared := p.shared(accountID)
	return shared != nil && shared.Partial
}

func (p *Principal) shared(accountID string) *SharedAccount {
	for i := range p.Shared {
		if p.Shared[i].AccountID == accountID {
			return &p.Shared[i]
		}
	}
	return nil
}

// Refusal is a gate's answer other than yes.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Header holds further headers of the answer, such as WWW-Authenticate.
	Header http.Header
	// Problem is the body of the answer.
	Problem Problem
	// HomeURL is set when the mailbox lives in another region: its https base URL
	// without a path. The session resource then answers 307 to that region, every
	// other resource 421 with Problem.
	HomeURL string
}

// Gate admits requests.
type Gate interface {
	// Admit verifies the credentials of a request and tells whom it acts for. Exactly
	// one of the results is nil. It must be safe for concurrent use, and it may be
	// asked again about the same request while a push stream stays open.
	Admit(r *http.Request) (*Principal, *Refusal)
}
