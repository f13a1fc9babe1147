package mail

import (
	"bytes"
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
)

// section is where a part lies in the content around it.
type section struct {
	message.Span

	encoding string
}

// blobRef is a blob id, read.
type blobRef struct {
	hash     string
	sections []section
}

var encodingLetters = map[string]string{"base64": "b", "quoted-printable": "q"}

// String writes the blob id.
func (b blobRef) String() string {
	if len(b.sections) == 0 {
		return wholeBlob + b.hash
	}
	var out strings.Builder
	out.WriteString(partBlob + b.hash)
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
		return blobRef{hash: b.hash, sections: append(b.sections[:last:last], next)}
	}
	return blobRef{hash: b.hash, sections: append(slices.Clip(b.sections), next)}
}

// parseBlobID reads a blob id; false says that this server never made it.
func parseBlobID(id string) (blobRef, bool) {
	if len(id) < 1+hashSize || len(id) > jmap.MaxIDLength {
		return blobRef{}, false
	}
	b := blobRef{hash: id[1 : 1+hashSize]}
	rest := id[1+hashSize:]
	if id[:1] == wholeBlob {
		return b, rest == ""
	}
	fields := strings.Split(rest, "-")
	if id[:1] != partBlob || len(fields) < 4 || len(fields)%3 != 1 || fields[0] != "" {
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
func (s *Service) Put(ctx context.Context, account, _ string, r io.Reader) (id string, size int64, err error) {
	tenant, err := s.tenantOf(ctx, account)
	if err == nil {
		err = s.room(ctx, account, 1)
	}
	if err != nil {
		return "", 0, err
	}
	info, err := s.blobs.Put(ctx, tenant, r)
	if err == nil {
		err = s.room(ctx, account, info.Size)
	}
	if err != nil {
		return "", 0, unavailable(err)
	}
	return wholeBlob + info.Hash, info.Size, s.grant(ctx, account, tenant, info.Hash)
}

// Open opens a blob that the account may read.
func (s *Service) Open(ctx context.Context, account, id string) (io.ReadSeekCloser, int64, error) {
	ref, object, err := s.openBlob(ctx, account, id)
	if err != nil {
		return nil, 0, err
	}
	if len(ref.sections) == 0 {
		return &blobReader{io.NewSectionReader(object, 0, object.Size()), object}, object.Size(), nil
	}
	if one := ref.sections[0]; len(ref.sections) == 1 && one.encoding == "" && one.End <= object.Size() {
		return &blobReader{io.NewSectionReader(object, one.Start, one.Len()), object}, one.Len(), nil
	}
	data, err := readSections(object, ref.sections)
	if err = errors.Join(err, object.Close()); err != nil {
		return nil, 0, err
	}
	return &blobReader{bytes.NewReader(data), io.NopCloser(nil)}, int64(len(data)), nil
}

// Copy lets another account read a blob. Between tenants the content is copied.
func (s *Service) Copy(ctx context.Context, from, to, id string) (copied string, err error) {
	tenant, err := s.tenantOf(ctx, to)
	if err != nil {
		return "", err
	}
	source, size, err := s.Open(ctx, from, id)
	if err != nil {
		return "", err
	}
	if err := s.room(ctx, to, size); err != nil {
		return "", errors.Join(err, source.Close())
	}
	info, err := s.blobs.Put(ctx, tenant, source)
	if err = errors.Join(err, source.Close()); err != nil {
		return "", err
	}
	return wholeBlob + info.Hash, s.grant(ctx, to, tenant, info.Hash)
}

// openBlob opens the whole blob that an id belongs to, when the account may read it.
func (s *Service) openBlob(ctx context.Context, account, id string) (blobRef, store.Object, error) {
	ref, ok := parseBlobID(id)
	if !ok {
		return blobRef{}, nil, jmap.ErrBlobNotFound
	}
	tenant, err := s.tenantOf(ctx, account)
	if err != nil {
		return blobRef{}, nil, err
	}
	if _, err = s.engine.Get(ctx, keys(account).blob(ref.hash)); err == nil {
		var object store.Object
		if object, err = s.blobs.Open(ctx, tenant, ref.hash); err == nil {
			return ref, object, nil
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		err = jmap.ErrBlobNotFound
	}
	return blobRef{}, nil, err
}

// readBlob returns the content of a blob that the account may read.
func (s *Service) readBlob(ctx context.Context, account, id string) (ref blobRef, data []byte, err error) {
	ref, object, err := s.openBlob(ctx, account, id)
	if err != nil {
		return blobRef{}, nil, err
	}
	data, err = readSections(object, ref.sections)
	return ref, data, errors.Join(err, object.Close())
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
