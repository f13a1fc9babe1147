package mail

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// keys builds the keys of one account. What is listed in order of arrival is keyed by the complement of
// receivedAt, so that a scan from the front meets the newest first.
type keys string

func (k keys) meta() []byte             { return store.NewKey(string(k)).String("meta") }
func (k keys) next() []byte             { return store.NewKey(string(k)).String("next") }
func (k keys) mailboxes() store.Key     { return store.NewKey(string(k)).String("mailbox") }
func (k keys) mailbox(id string) []byte { return k.mailboxes().String(id) }
func (k keys) role(role string) []byte  { return store.NewKey(string(k)).String("role").String(role) }

func (k keys) emails() store.Key        { return store.NewKey(string(k)).String("email") }
func (k keys) email(id string) []byte   { return k.emails().String(id) }
func (k keys) row(id string) []byte     { return store.NewKey(string(k)).String("row").String(id) }
func (k keys) parts(id string) []byte   { return store.NewKey(string(k)).String("parts").String(id) }
func (k keys) text(id string) store.Key { return store.NewKey(string(k)).String("text").String(id) }
func (k keys) references(id string) []byte {
	return store.NewKey(string(k)).String("references").String(id)
}

func (k keys) signature(id string) []byte {
	return store.NewKey(string(k)).String("signature").String(id)
}
func (k keys) all() store.Key          { return store.NewKey(string(k)).String("all") }
func (k keys) box(id string) store.Key { return store.NewKey(string(k)).String("box").String(id) }

func (k keys) thread(id string) store.Key { return store.NewKey(string(k)).String("thread").String(id) }

func (k keys) blob(hash string) []byte { return store.NewKey(string(k)).String("blob").String(hash) }

func (k keys) upload(hash string) []byte {
	return store.NewKey(string(k)).String("upload").String(hash)
}

// reference finds the emails that mention a message id in a conversation of one subject.
func (k keys) reference(hash string) store.Key {
	return store.NewKey(string(k)).String("reference").String(hash)
}

func (k keys) identities() store.Key  { return store.NewKey(string(k)).String("identity") }
func (k keys) submissions() store.Key { return store.NewKey(string(k)).String("submission") }
func (k keys) outbox() store.Key      { return store.NewKey(string(k)).String("outgoing") }
func (k keys) outgoing(id string) store.Key {
	return k.outbox().String(id)
}
func (k keys) vacation() []byte { return store.NewKey(string(k)).String("vacation") }
func (k keys) replied(key string) []byte {
	return store.NewKey(string(k)).String("replied").String(key)
}
func (k keys) repliedAt() store.Key { return store.NewKey(string(k)).String("repliedAt") }
func (k keys) envelopeID(id string) []byte {
	return store.NewKey(string(k)).String("envelopeId").String(id)
}

func (k keys) sentMessage(hash string) []byte {
	return store.NewKey(string(k)).String("sentMessage").String(hash)
}

// idDigits is the number of digits of an id.
const idDigits = 8

// place is an email's entry in an index by receivedAt.
func place(index store.Key, received int64, id string) []byte {
	return index.Descending(orderly(received)).String(id)
}

// cutPlace reads an entry of such an index.
func cutPlace(key []byte, index store.Key) (received int64, id string, err error) {
	n, rest, err := store.CutUint(key[len(index):])
	if err != nil {
		return 0, "", fmt.Errorf("index entry: %w", err)
	}
	id, _, err = store.CutString(rest)
	return int64(^n ^ 1<<63), id, err //nolint:gosec // undoes orderly and the complement
}

// orderly maps a signed number to an unsigned one of the same order.
func orderly(n int64) uint64 { return uint64(n) ^ 1<<63 } //nolint:gosec // keeps every bit

// idLeap is how many ids of an account are left out when it goes on from an earlier point, restored or imported: far
// more than were made after that, so that none of those is given to another object (RFC 8620 section 1.6.3), and few of all that there are.
const idLeap = 1 << 30

// newID makes the next id of an account. The letter tells people what it names. Ids are of one length, so that they
// sort in the order in which they were made.
func (e *edit) newID(letter string) (string, error) {
	value, err := e.get(e.keys.next())
	if err != nil {
		return "", err
	}
	n, epoch, err := cutNext(value)
	if err != nil {
		return "", fmt.Errorf("next id: %w", err)
	}
	switch now, err := e.tx.Epoch(); {
	case err != nil:
		return "", err
	case now > epoch:
		n, epoch = n+idLeap, now
	}
	next := store.Key(nil).Uint(n + 1)
	if epoch != 0 {
		next = next.Uint(epoch)
	}
	e.tx.Set(e.keys.next(), next)
	return formatID(letter, n), nil
}

// cutNext reads the number of the next id of an account, and the epoch of the store in which the last one was made.
func cutNext(value []byte) (n, epoch uint64, err error) {
	if len(value) == 0 {
		return 0, 0, nil
	}
	n, rest, err := store.CutUint(value)
	if err != nil || len(rest) == 0 {
		return n, 0, err
	}
	epoch, _, err = store.CutUint(rest)
	return n, epoch, err
}

func formatID(letter string, n uint64) string {
	digits := strconv.FormatUint(n, 36)
	return letter + strings.Repeat("0", max(0, idDigits-len(digits))) + digits
}
