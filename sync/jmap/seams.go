package jmap

import (
	"context"
	"errors"
	"io"
)

// ErrBlobNotFound is returned by Blobs for an id that names no blob that the account
// may read.
var ErrBlobNotFound = errors.New("blob not found")

// ErrBlobTooLarge is returned by Blobs for content that the store refuses for its
// size.
var ErrBlobTooLarge = errors.New("blob too large")

// ErrOverQuota is returned by Blobs and Accounts when the account may hold no more.
var ErrOverQuota = errors.New("over quota")

// ErrForeignAccount is returned by Accounts for a mailbox that another tenant has: the
// user was moved between tenants that share an issuer, and the mail was not.
var ErrForeignAccount = errors.New("account belongs to another tenant")

// Unavailable says whether an error is of something that does not answer at the moment, so that the request may succeed
// later. Errors tell so by a method Unavailable that returns true.
func Unavailable(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Unavailable() bool
	}](err)
	return ok && e.Unavailable()
}

// Blobs keeps binary data by account (RFC 8620 §6).
type Blobs interface {
	// Put stores the content of r and returns its blob id and its size in octets. An
	// error of r is returned wrapped, and nothing is stored then.
	Put(ctx context.Context, account, contentType string, r io.Reader) (id string, size int64, err error)
	// Open returns the content of a blob and its size in octets, or ErrBlobNotFound.
	Open(ctx context.Context, account, id string) (io.ReadSeekCloser, int64, error)
	// Copy makes a blob of one account readable in another and returns its id there,
	// or ErrBlobNotFound.
	Copy(ctx context.Context, from, to, id string) (string, error)
}

// States tells the state of an account's data types, for push (RFC 8620 §7).
type States interface {
	// States returns the state string of each data type of the account, as its /get
	// method would.
	States(ctx context.Context, account string) (map[string]string, error)
	// Subscribe returns a channel that receives a value after something of the
	// account may have changed; values that nobody waits for are coalesced. Cancel
	// releases the subscription and may be called more than once; the channel is
	// not necessarily closed.
	Subscribe(account string) (changes <-chan struct{}, cancel func())
}

// Accounts provisions mailboxes.
type Accounts interface {
	// Provision makes the principal's mailbox complete, with all its standard
	// folders, before the first answer is given. It is idempotent and cheap when
	// there is nothing to do.
	Provision(ctx context.Context, p *Principal) error
}

// Shares tells what others share with a principal, record by record (RFC 9670).
type Shares interface {
	// SharedWith returns the accounts of which parts are shared with the principal. It
	// is asked before each request, so it is cheap.
	SharedWith(ctx context.Context, p *Principal) ([]SharedAccount, error)
	// BlobsFor returns the blobs as far as the principal may use them.
	BlobsFor(p *Principal) Blobs
	// StatesFor is States for an account as the principal sees it.
	StatesFor(ctx context.Context, p *Principal, account string) (map[string]string, error)
}

// PassHints passes hints of changes on until the context ends or there come no more. Those
// that nobody waits for are coalesced.
func PassHints(ctx context.Context, changes <-chan struct{}, into chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-changes:
			if !open {
				return
			}
		}
		select {
		case into <- struct{}{}:
		default:
		}
	}
}
