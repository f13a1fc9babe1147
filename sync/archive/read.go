package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Reader reads an archive and verifies it on the way. It is not safe for concurrent use.
type Reader struct {
	source   *source
	zstd     *zstd.Decoder
	tar      *tar.Reader
	manifest *Manifest
	digest   string
	tally    *tally
	open     *Entry
	// last is the name of the blob before.
	last string
}

// Entry is a member of an archive.
type Entry struct {
	// Number is the place of the member in the archive; the first is 0.
	Number  int64
	Section Section
	Name    string
	Size    int64
	// Hash is that of the blob, if it is one.
	Hash string

	reader *Reader
	want   []byte
	sum    hash.Hash
	left   int64
}

// source remembers an error of what an archive is read from, to tell it from one of the archive.
type source struct {
	reader io.Reader
	err    error
}

// Read reads from the source.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// NewReader begins to read an archive: its manifest. Close must be called.
func NewReader(r io.Reader) (*Reader, error) {
	src := &source{reader: r}
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	out := &Reader{source: src, zstd: z, tar: tar.NewReader(z), tally: newTally()}
	if err := out.begin(); err != nil {
		z.Close()
		return nil, err
	}
	return out, nil
}

// Close releases the reader.
func (r *Reader) Close() { r.zstd.Close() }

// Manifest returns the manifest.
func (r *Reader) Manifest() *Manifest { return r.manifest }

// Digest identifies the archive: it is the hash of the manifest, which has those of all sections.
func (r *Reader) Digest() string { return r.digest }

func (r *Reader) begin() error {
	header, err := r.tar.Next()
	if err != nil {
		return r.classify(err)
	}
	data, err := r.document(header, FirstMember)
	if err != nil {
		return err
	}
	if r.manifest, err = parseManifest(data); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	r.digest = hex.EncodeToString(sum[:])
	return nil
}

// Position returns where the reader is: after the last entry that was read to its end.
func (r *Reader) Position() Position { return r.tally.position() }

// Next returns the next member. The end is io.EOF, and says that the whole archive is as it was written. What is left of
// the member before is read.
func (r *Reader) Next() (*Entry, error) {
	if err := r.finish(); err != nil {
		return nil, err
	}
	header, err := r.tar.Next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it has no trailer", ErrTruncated)
	}
	if err != nil {
		return nil, r.classify(err)
	}
	for r.tally.section < len(order) && r.tally.contents.Members == r.manifest.Sections[r.tally.section].Members {
		section := r.manifest.Sections[r.tally.section]
		if got := r.tally.close(); got != section {
			return nil, fmt.Errorf("%w: section %q does not have the hash and the size that the manifest tells", ErrBroken, section.Name)
		}
	}
	if r.tally.section == len(order) {
		return nil, r.end(header)
	}
	r.open, err = r.entry(header)
	return r.open, err
}

// entry checks the header of a member.
func (r *Reader) entry(header *tar.Header) (*Entry, error) {
	section := order[r.tally.section]
	e := &Entry{
		Number: r.tally.next, Section: section, Name: header.Name, Size: header.Size,
		reader: r, sum: sha256.New(), left: header.Size,
	}
	limit := min(int64(MaxRecords), r.left())
	if section == Blobs {
		limit = min(MaxBlob, r.left())
	}
	if header.Typeflag != tar.TypeReg || header.Size < 0 || header.Size > limit {
		return nil, fmt.Errorf("%w: member %q is no file, or has more than %d octets", ErrBroken, printable(header.Name), limit)
	}
	var err error
	if e.want, err = hex.DecodeString(header.PAXRecords[paxSum]); err != nil || len(e.want) != sha256.Size {
		return nil, fmt.Errorf("%w: member %q has no hash", ErrBroken, printable(header.Name))
	}
	ok := e.Name == recordsName(section, r.tally.contents.Members+1)
	if section == Blobs {
		// They are in order, so that none comes twice.
		e.Hash, ok = hashOf(e.Name, e.want)
		ok = ok && e.Name > r.last
		r.last = e.Name
	}
	if !ok {
		return nil, fmt.Errorf("%w: member %q is not in its place", ErrBroken, printable(header.Name))
	}
	return e, nil
}

// left is how many octets the present section has left by the manifest.
func (r *Reader) left() int64 {
	return r.manifest.Sections[r.tally.section].Octets - r.tally.contents.Octets
}

// printable bounds a name that is told in an error.
func printable(name string) string { return strings.ToValidUTF8(name[:min(len(name), 100)], "?") }

// Read reads the content. The end is io.EOF when the content has its hash, and else ErrBroken.
func (e *Entry) Read(p []byte) (int, error) {
	n, err := e.reader.tar.Read(p)
	e.sum.Write(p[:n])
	e.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, e.reader.classify(err)
	case e.left != 0 || !bytes.Equal(e.sum.Sum(nil), e.want):
		return n, fmt.Errorf("%w: member %q does not have its hash", ErrBroken, e.Name)
	}
	return n, err
}

// Records reads the content as records.
func (r *Reader) Records(e *Entry) ([]Record, error) {
	data, err := io.ReadAll(e)
	if err != nil {
		return nil, err
	}
	out, err := ParseRecords(data)
	if err != nil {
		return nil, fmt.Errorf("member %q: %w", e.Name, err)
	}
	return out, r.finish()
}

// Finish reads what is left of the present entry and counts it.
func (r *Reader) Finish() error { return r.finish() }

func (r *Reader) finish() error {
	e := r.open
	if e == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, e); err != nil {
		return err
	}
	r.tally.add(e.Name, e.Size, e.want)
	r.open = nil
	return nil
}

// end reads the trailer, and that nothing follows.
func (r *Reader) end(header *tar.Header) error {
	data, err := r.document(header, trailerName)
	if err != nil {
		return err
	}
	var t trailer
	if err := strictly(data, &t); err != nil {
		return fmt.Errorf("%w: trailer: %w", ErrBroken, err)
	}
	if t.Manifest != r.digest || t.Members != r.tally.next {
		return fmt.Errorf("%w: the trailer is of another archive", ErrBroken)
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the trailer", ErrBroken)
	}
	rest, err := io.ReadAll(io.LimitReader(r.zstd, maxDocument))
	if err != nil {
		return r.classify(err)
	}
	if strings.Trim(string(rest), "\x00") != "" || len(rest) == maxDocument {
		return fmt.Errorf("%w: something follows the trailer", ErrBroken)
	}
	return io.EOF
}

// document reads a member that is a small document.
func (r *Reader) document(header *tar.Header, name string) ([]byte, error) {
	if header.Name != name || header.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("%w: member %q is where %q must be", ErrBroken, printable(header.Name), name)
	}
	if header.Size > maxDocument {
		return nil, fmt.Errorf("%w: %q has more than %d octets", ErrBroken, name, maxDocument)
	}
	data, err := io.ReadAll(r.tar)
	if err != nil {
		return nil, r.classify(err)
	}
	return data, nil
}

// classify tells an archive that is cut short from one that is broken, and both from a source that failed.
func (r *Reader) classify(err error) error {
	switch {
	case r.source.err != nil:
		return fmt.Errorf("read archive: %w", r.source.err)
	case errors.Is(err, ErrBroken):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	default:
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
}

// Verify reads an archive to its end and returns its manifest.
func Verify(from io.Reader) (*Manifest, error) {
	r, err := NewReader(from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.manifest, nil
		}
		if err == nil && e.Section != Blobs {
			_, err = r.Records(e)
		}
		if err != nil {
			return r.manifest, err
		}
	}
}
