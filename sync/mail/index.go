package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode"

	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// The index of an account is made of segments, each of emails whose numbers follow each other, and does not hold the
// newest emails: a search reads the text of those. Emails come in with nothing written for the index. A search that
// meets many new ones has them indexed first, in one more segment, which takes in smaller ones before it, so that there
// are few. What is indexed of an email never changes, so that an index that is behind is right about what it holds.
//
// A segment tells of emails that were destroyed since, too. Searches never meet them, because they go by the order of
// arrival, which has only emails that are there; merging forgets them, and the purge does for those that are not merged.

// indexFormat is the version of how texts are cut into what segments hold. The version of Unicode is another part.
const indexFormat = 1

// The fields of an email that are indexed, as segments name them, by the name of the property.
var indexFields = map[string]postings.Field{"from": 'f', "to": 't', "cc": 'c', "bcc": 'b', "subject": 's', textBody: 'y'}

// textBody stands for the searchable text of an email, among the names of properties.
const textBody = "body"

// indexState is what an account tells of its index.
type indexState struct {
	// Format and Unicode are how the index was made. One that was made otherwise is not used.
	Format  int    `json:"format"`
	Unicode string `json:"unicode"`
	// Next is the number of the first email that is not in it, and Segment that of the next segment.
	Next     uint64         `json:"next"`
	Segment  uint64         `json:"segment"`
	Segments []indexSegment `json:"segments"`
	// stored is the record as it was read, nil when there is none.
	stored []byte
}

// indexSegment is a segment of an index. First is the number of its first email.
type indexSegment struct {
	ID     uint64 `json:"id"`
	First  uint64 `json:"first"`
	Emails int    `json:"emails"`
	Octets int    `json:"octets"`
}

func (k keys) index() store.Key              { return store.NewKey(string(k)).String("index") }
func (k keys) indexState() []byte            { return k.index().String("state") }
func (k keys) indexGone() store.Key          { return k.index().String("gone") }
func (k keys) segments() store.Key           { return k.index().String("segment") }
func (k keys) segment(id uint64) segmentKeys { return segmentKeys(k.segments().Uint(id)) }

// segmentKeys builds the keys of one segment.
type segmentKeys store.Key

func (k segmentKeys) docs() store.Key     { return store.Key(k).String("emails") }
func (k segmentKeys) postings() store.Key { return store.Key(k).String("postings") }
func (k segmentKeys) dictionary(f postings.Field) store.Key {
	return store.Key(k).String("words").String(string(rune(f)))
}

// numberOf returns the number in the id of an email. Numbers grow with each email of an account.
func numberOf(id string) (uint64, error) {
	if len(id) < 2 {
		return 0, fmt.Errorf("email %q: %w: the id has no number", id, store.ErrInvalid)
	}
	return strconv.ParseUint(id[1:], 36, 64)
}

// condition says whether an index can be used.
type condition int

const (
	// indexUsable can be read and written.
	indexUsable condition = iota + 1
	// indexAbsent was never made.
	indexAbsent
	// indexOlder was made by an earlier version, and has to be made anew.
	indexOlder
	// indexNewer was made by a later version, and is left alone.
	indexNewer
)

// readIndex returns the index of an account, empty unless it can be used.
func readIndex(ctx context.Context, r store.Reader, account string) (state *indexState, is condition, err error) {
	state = &indexState{Format: indexFormat, Unicode: unicode.Version}
	if state.stored, err = r.Get(ctx, keys(account).indexState()); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return state, indexAbsent, nil
		}
		return nil, 0, fmt.Errorf("read index: %w", err)
	}
	made := *state
	if err := json.Unmarshal(state.stored, &made); err != nil {
		return nil, 0, fmt.Errorf("read index: %w", err)
	}
	switch order := cmp.Or(cmp.Compare(made.Format, indexFormat), cmp.Compare(made.Unicode, unicode.Version)); {
	case order > 0:
		return state, indexNewer, nil
	case order < 0:
		return state, indexOlder, nil
	default:
		return &made, indexUsable, nil
	}
}

// unindex has the index forget an email that is destroyed, if there is an index: soon when its segment is merged, and
// within a day in any case.
func (e *edit) unindex(id string) error {
	if e.indexed == nil {
		_, err := e.tx.Get(e.ctx, e.keys.indexState())
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		e.indexed = new(err == nil)
	}
	if !*e.indexed {
		return nil
	}
	e.tx.Set(e.keys.indexGone().String(id), nil)
	e.tx.Set(purgeQueue(e.tenant).Uint(orderly(purgeTime(e.account, e.service.opts.Now()))).String(e.account), nil)
	return nil
}

// goneEmails are the destroyed emails that the index may still hold, by number.
func goneEmails(ctx context.Context, r store.Reader, account string) (map[uint64]bool, error) {
	prefix := keys(account).indexGone()
	gone := map[uint64]bool{}
	for p, err := range r.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		id, _, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		n, err := numberOf(id)
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		gone[n] = true
	}
	return gone, nil
}

// readDocs returns the numbers of the emails of a segment.
func readDocs(ctx context.Context, r store.Reader, account string, id uint64) ([]uint64, error) {
	value, err := readPart(ctx, r, keys(account).segment(id).docs())
	if err != nil {
		return nil, err
	}
	return postings.DecodeDocs(value)
}

// readPart returns a value of a segment. One that is not there is damage.
func readPart(ctx context.Context, r store.Reader, key []byte) ([]byte, error) {
	value, err := r.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read index: %w: a part is missing", postings.ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return value, nil
}

// readSegment returns all of a segment.
func readSegment(ctx context.Context, r store.Reader, account string, id uint64) (*postings.Segment, error) {
	k := keys(account).segment(id)
	out := &postings.Segment{Fields: map[postings.Field][][]byte{}}
	var err error
	if out.Docs, err = readPart(ctx, r, k.docs()); err != nil {
		return nil, err
	}
	for _, field := range indexFields {
		if out.Fields[field], err = readChunks(ctx, r, k.dictionary(field)); err != nil {
			return nil, err
		}
	}
	out.Postings, err = readChunks(ctx, r, k.postings())
	return out, err
}

func readChunks(ctx context.Context, r store.Reader, prefix store.Key) ([][]byte, error) {
	var chunks [][]byte
	for p, err := range r.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		chunks = append(chunks, slices.Clone(p.Value))
	}
	return chunks, nil
}

// writeSegment writes the values of a segment.
func writeSegment(tx *store.Tx, account string, id uint64, s *postings.Segment) {
	k := keys(account).segment(id)
	tx.Set(k.docs(), s.Docs)
	for field, chunks := range s.Fields {
		for n, chunk := range chunks {
			tx.Set(k.dictionary(field).Uint(uint64(n)), chunk)
		}
	}
	for n, chunk := range s.Postings {
		tx.Set(k.postings().Uint(uint64(n)), chunk)
	}
}
