package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// A blob id is a letter and the hash of the content. That of a part of a message names the message and where the
// part lies in it, so that it needs no record: "P", the hash, and for each level "-start-end-encoding".
const (
	wholeBlob = "B"
	partBlob  = "P"
	hashSize  = 52
	// For visitors the letters are others, and the id of the email follows the hash.
	visitedBlob = "V"
	visitedPart = "W"
)

// section is where a part lies in the content around it.
type section struct {
	message.Span

	encoding string
}

// blobRef is a blob id, read.
type blobRef struct {
	hash string
	// email is that by which a visitor may read the blob; empty for anybody else, and for an upload.
	email    string
	sections []section
}

var encodingLetters = map[string]string{"base64": "b", "quoted-printable": "q"}

// String writes the blob id.
func (b blobRef) String() string {
	whole, part := wholeBlob, partBlob
	if b.email != "" {
		whole, part = visitedBlob, visitedPart
	}
	if len(b.sections) == 0 {
		return whole + b.hash + b.email
	}
	var out strings.Builder
	out.WriteString(part + b.hash + b.email)
	for _, s := range b.sections {
		letter, ok := encodingLetters[s.encoding]
		if !ok {
			letter = "n"
		}
		out.WriteString("-" + strconv.FormatInt(s.Start, 36) + "-" + strconv.FormatInt(s.End, 36) + "-" + letter)
	}
	return out.String()
}

// part returns the blob of a part of a message that is the blob b.
func (b blobRef) part(p *message.Part) blobRef {
	next := section{Span: p.Body, encoding: p.Encoding}
	last := len(b.sections) - 1
	if last >= 0 && b.sections[last].encoding == "" {
		next.Start += b.sections[last].Start
		next.End += b.sections[last].Start
		return blobRef{hash: b.hash, email: b.email, sections: append(b.sections[:last:last], next)}
	}
	return blobRef{hash: b.hash, email: b.email, sections: append(slices.Clip(b.sections), next)}
}

// parseBlobID reads a blob id; false says that this server never made it.
func parseBlobID(id string) (blobRef, bool) {
	if len(id) < 1+hashSize || len(id) > jmap.MaxIDLength {
		return blobRef{}, false
	}
	b := blobRef{hash: id[1 : 1+hashSize]}
	letter := id[:1]
	email, rest := cutEmail(id)
	b.email = email
	if letter == wholeBlob || letter == visitedBlob {
		return b, rest == "" && b.String() == id
	}
	fields := strings.Split(rest, "-")
	if len(fields) < 4 || len(fields)%3 != 1 || fields[0] != "" {
		return blobRef{}, false
	}
	for fields = fields[1:]; len(fields) > 0; fields = fields[3:] {
		next, ok := parseSection(fields[0], fields[1], fields[2])
		if !ok {
			return blobRef{}, false
		}
		b.sections = append(b.sections, next)
	}
	return b, b.String() == id
}

// cutEmail reads the email of a blob id that has one, and returns it and what follows.
func cutEmail(id string) (email, rest string) {
	rest = id[1+hashSize:]
	if letter := id[:1]; letter == visitedBlob || letter == visitedPart {
		email, _, _ = strings.Cut(rest, "-")
	}
	return email, rest[len(email):]
}

func parseSection(from, to, encoding string) (section, bool) {
	start, startErr := strconv.ParseInt(from, 36, 64)
	end, endErr := strconv.ParseInt(to, 36, 64)
	if startErr != nil || endErr != nil || start < 0 || end < start {
		return section{}, false
	}
	s := section{Span: message.Span{Start: start, End: end}}
	for name, letter := range encodingLetters {
		if letter == encoding {
			s.encoding = name
		}
	}
	return s, true
}

// Put keeps an upload for the account and returns its blob id.
func (s *Service) Put(ctx context.Context, account, contentType string, r io.Reader) (id string, size int64, err error) {
	return everyBlob{service: s}.Put(ctx, account, contentType, r)
}

// Open opens a blob that the account may read.
func (s *Service) Open(ctx context.Context, account, id string) (io.ReadSeekCloser, int64, error) {
	return everyBlob{service: s}.Open(ctx, account, id)
}

// Copy lets another account read a blob. Between tenants the content is copied.
func (s *Service) Copy(ctx context.Context, from, to, id string) (copied string, err error) {
	return everyBlob{service: s}.Copy(ctx, from, to, id)
}

// readSections reads what lies in nested sections of an object.
func readSections(object store.Object, sections []section) ([]byte, error) {
	whole := message.Span{End: object.Size()}
	if len(sections) > 0 {
		whole = sections[0].Span
		whole.End = min(whole.End, object.Size())
		whole.Start = min(whole.Start, whole.End)
	}
	data := make([]byte, whole.Len())
	if _, err := object.ReadAt(data, whole.Start); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read blob: %w", err)
	}
	for i, s := range sections {
		if i > 0 {
			end := min(s.End, int64(len(data)))
			data = data[min(s.Start, end):end]
		}
		data = message.DecodeTransfer(s.encoding, data)
	}
	return data, nil
}

// blobReader is an open blob.
type blobReader struct {
	io.ReadSeeker

	object io.Closer
}

// Close closes the object behind.
func (b *blobReader) Close() error { return b.object.Close() }
