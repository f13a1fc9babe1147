package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Record is one record of an account.
type Record struct {
	// Kind says what it is.
	Kind string
	// Key tells it from others of its kind; it may be empty.
	Key []byte
	// Value is its content.
	Value []byte
}

// line is how a record is written. A value that is a JSON object is written as that, for people.
type line struct {
	Kind string          `json:"kind"`
	Key  []byte          `json:"key,omitempty"`
	JSON json.RawMessage `json:"json,omitempty"`
	Data []byte          `json:"data,omitempty"`
}

// appendRecord writes a record as a line.
func appendRecord(to *bytes.Buffer, r Record) error {
	l := line{Kind: r.Kind, Key: r.Key}
	if isObject(r.Value) {
		l.JSON = r.Value
	} else {
		l.Data = r.Value
	}
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return e.Encode(l)
}

// isObject says whether a value is a JSON object in the one spelling that is read back as it was.
func isObject(value []byte) bool {
	if len(value) == 0 || value[0] != '{' {
		return false
	}
	var compact bytes.Buffer
	return json.Compact(&compact, value) == nil && bytes.Equal(compact.Bytes(), value)
}

// ParseRecords reads the records of a member.
func ParseRecords(data []byte) ([]Record, error) {
	var out []Record
	for number := 1; len(data) > 0; number++ {
		text, rest, whole := bytes.Cut(data, []byte("\n"))
		var l line
		if err := strictly(text, &l); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrBroken, number, err)
		}
		if !whole || l.Kind == "" || (l.JSON != nil && (l.Data != nil || !isObject(l.JSON))) {
			return nil, fmt.Errorf("%w: line %d is not a record", ErrBroken, number)
		}
		r := Record{Kind: l.Kind, Key: l.Key, Value: l.Data}
		if l.JSON != nil {
			r.Value = l.JSON
		}
		out, data = append(out, r), rest
	}
	return out, nil
}

// Member is a part of an archive that is to be written.
type Member struct {
	Section Section
	Name    string
	Size    int64
	SHA256  [sha256.Size]byte
	// Open opens the content.
	Open func() (io.ReadCloser, error)
}

var hashes = base32.HexEncoding.WithPadding(base32.NoPadding)

// BlobMember returns the member of a blob, by its hash as the store has it.
func BlobMember(hash string, size int64, open func() (io.ReadCloser, error)) (Member, error) {
	m := Member{Section: Blobs, Name: blobName(hash), Size: size, Open: open}
	sum, err := hashes.DecodeString(strings.ToUpper(hash))
	if err != nil || len(sum) != sha256.Size || size < 0 || size > MaxBlob {
		return m, fmt.Errorf("archive: blob %q of %d octets: its name is no hash, or it has more than %d", hash, size, MaxBlob)
	}
	copy(m.SHA256[:], sum)
	return m, nil
}

func blobName(hash string) string { return string(Blobs) + "/" + hash + ".eml" }

// hashOf returns the hash in the name of a blob's member, if the content has that.
func hashOf(name string, sum []byte) (string, bool) {
	hash := strings.ToLower(hashes.EncodeToString(sum))
	return hash, name == blobName(hash)
}

func recordsName(s Section, number int64) string { return fmt.Sprintf("%s/%08d.jsonl", s, number) }

// Pack makes members of records.
func Pack(s Section, records iter.Seq2[Record, error]) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		var pack bytes.Buffer
		number := int64(0)
		flush := func() bool {
			if pack.Len() > MaxRecords {
				yield(Member{}, fmt.Errorf("archive: a record has more than %d octets", MaxRecords-packAt))
				return false
			}
			number++
			m := recordsMember(s, number, pack.Bytes())
			pack.Reset()
			return yield(m, nil)
		}
		for r, err := range records {
			if err == nil {
				err = appendRecord(&pack, r)
			}
			if err != nil {
				yield(Member{}, err)
				return
			}
			if pack.Len() >= packAt && !flush() {
				return
			}
		}
		if pack.Len() > 0 {
			flush()
		}
	}
}

func recordsMember(s Section, number int64, data []byte) Member {
	return Member{
		Section: s, Name: recordsName(s, number), Size: int64(len(data)), SHA256: sha256.Sum256(data),
		// It is read before the next one is made.
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}
