package mail

import (
	"errors"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// recordVersion is the version of the records in archives of accounts. It grows when a record changes so that an earlier
// version of this code would not understand it.
const recordVersion = 1

var (
	// ErrExists says that an account has data already, so that no archive can be imported into it.
	ErrExists = errors.New("the account has data already: an archive is imported before its user signs in")
	// ErrImporting says that an import of another archive into the account has begun.
	ErrImporting = errors.New("the import of another archive was begun and has not ended")
	// ErrNoImport says that there is no import that could be discarded.
	ErrNoImport = errors.New("no import into the account has begun")
)

// class says what archives do with the keys of a kind, which is the second segment of the keys of an account.
type class int

const (
	// classCopied is in archives, as it is.
	classCopied class = iota + 1
	// classCounted counts the references to blobs, whose content is in archives too.
	classCounted
	// classLast is in archives, and written when all else is there: by it others find the account, or parts of it.
	classLast
	// classLeft belongs to the place, the process or the devices, and is not in archives.
	classLeft
)

// classes are those of every kind. A kind that is not here cannot be exported: whoever adds one decides what becomes of it.
var classes = map[string]class{
	// The journal.
	"seq": classCopied, "floor": classCopied, "log": classCopied, "state": classCopied, "epochs": classCopied, "lease": classLeft,
	// The account, its mailboxes and emails.
	"meta": classLast, "next": classCopied, "usage": classCopied, "mailbox": classCopied, "role": classCopied, "email": classCopied, "row": classCopied, "parts": classCopied,
	"text": classCopied, "references": classCopied, "reference": classCopied, "signature": classCopied, "all": classCopied, "box": classCopied, "thread": classCopied,
	"blob": classCounted, "upload": classCopied, "visitorUpload": classCopied,
	// What it sends.
	"identity": classCopied, "submission": classCopied, "outgoing": classCopied, "envelopeId": classCopied, "sentMessage": classCopied,
	"vacation": classCopied, "replied": classCopied, "repliedAt": classCopied,
	// What it shares.
	"visitor": classLast, "subscriber": classCopied, "word": classCopied, "notification": classCopied,
	// Push subscriptions are of devices, which subscribe anew where the account is.
	"push": classLeft, "pushed": classLeft, "pushes": classLeft,
	// The index of words is made anew from the mail.
	"index": classLeft,
	// What is known about an import.
	importKind: classLeft,
}

// Kinds of records in the section of the account that lie outside of its range.
const (
	// recordOffer is an account that shares something with this one, by its id.
	recordOffer = "offer"
	// recordNotice is a notice that waits to become a notification, by the key below that of the principal.
	recordNotice = "notice"
	// recordPrincipal is how the account is known to its tenant.
	recordPrincipal = "principal"
)

// kindOf returns the kind of a key of an account, and what follows it.
func kindOf(account store.Key, key []byte) (kind string, rest []byte, err error) {
	if kind, rest, err = store.CutString(key[len(account):]); err != nil {
		return "", nil, fmt.Errorf("archive: %w", err)
	}
	return kind, rest, nil
}

// keyOf undoes kindOf.
func keyOf(account store.Key, kind string, rest []byte) []byte {
	return append(account.String(kind), rest...)
}

// importKind is the kind of the mark of an import.
const importKind = "import"

func (k keys) importMark() []byte { return store.NewKey(string(k)).String(importKind) }
