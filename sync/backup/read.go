package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// reader reads a backup and verifies it on the way.
type reader struct {
	zstd *zstd.Decoder
	tar  *tar.Reader
	head Head
	sum  hash.Hash
	// files and octets are how much is left by the head.
	files, octets int64
}

// open begins to read a backup: its head. What is returned must be closed.
func open(from io.Reader) (*reader, error) {
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	r := &reader{zstd: z, tar: tar.NewReader(z), sum: sha256.New()}
	if err := r.begin(); err != nil {
		z.Close()
		return nil, err
	}
	return r, nil
}

func (r *reader) close() { r.zstd.Close() }

func (r *reader) begin() error {
	header, err := r.next()
	if err != nil {
		return err
	}
	data, err := r.document(header, FirstMember)
	if err != nil {
		return err
	}
	r.sum.Write(data)
	if r.head, err = parseHead(data); err != nil {
		return err
	}
	r.files, r.octets = r.head.Files, r.head.Octets
	return nil
}

// parseHead reads a head.
func parseHead(data []byte) (h Head, err error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return h, fmt.Errorf("%w: %s: %w", ErrBroken, FirstMember, err)
	}
	if version.Version > Version {
		return h, fmt.Errorf("%w: %d, this program reads up to %d: restore it with the version that wrote it, or a later one", ErrVersion, version.Version, Version)
	}
	if err := strictly(data, &h); err != nil {
		return h, fmt.Errorf("%w: %s: %w", ErrBroken, FirstMember, err)
	}
	if h.Version < 1 || h.Cloud == "" || h.Region == "" || h.Files < 1 || h.Octets < 0 {
		return h, fmt.Errorf("%w: %s: version, cloud, region, files or octets is missing", ErrBroken, FirstMember)
	}
	return h, nil
}

// strictly reads one JSON value without unknown members.
func strictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// each calls take for each file in turn, which must read it to its end, and returns nil when the backup is whole.
func (r *reader) each(ctx context.Context, take func(name string, content io.Reader) error) error {
	for r.files > 0 {
		header, err := r.next()
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if !members.MatchString(header.Name) || header.Typeflag != tar.TypeReg || header.Size > r.octets {
			return fmt.Errorf("%w: member %q is no file of a store, or larger than %s tells", ErrBroken, printable(header.Name), FirstMember)
		}
		r.files--
		r.octets -= header.Size
		sum := sha256.New()
		if err := take(header.Name, io.TeeReader(content{r}, sum)); err != nil {
			return err
		}
		addLine(r.sum, header.Name, header.Size, sum)
	}
	return r.end()
}

// content is the content of the present member.
type content struct{ r *reader }

// Read reads it.
func (c content) Read(p []byte) (int, error) {
	n, err := c.r.tar.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = broken(err)
	}
	return n, err
}

// end reads the trailer, and that nothing follows.
func (r *reader) end() error {
	header, err := r.next()
	if err != nil {
		return err
	}
	data, err := r.document(header, trailerName)
	if err != nil {
		return err
	}
	var t trailer
	if err := strictly(data, &t); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBroken, trailerName, err)
	}
	if r.octets != 0 || t.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) {
		return fmt.Errorf("%w: its content does not have the hash and the size that it tells", ErrBroken)
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the trailer", ErrBroken)
	}
	rest, err := io.ReadAll(io.LimitReader(r.zstd, maxDocument))
	if err != nil {
		return broken(err)
	}
	if strings.Trim(string(rest), "\x00") != "" || len(rest) == maxDocument {
		return fmt.Errorf("%w: something follows the trailer", ErrBroken)
	}
	return nil
}

func (r *reader) next() (*tar.Header, error) {
	header, err := r.tar.Next()
	if err != nil {
		return nil, broken(err)
	}
	return header, nil
}

// document reads a member that is a small document.
func (r *reader) document(header *tar.Header, name string) ([]byte, error) {
	if header.Name != name || header.Typeflag != tar.TypeReg || header.Size > maxDocument {
		return nil, fmt.Errorf("%w: member %q is where %q must be, or has more than %d octets", ErrBroken, printable(header.Name), name, maxDocument)
	}
	data, err := io.ReadAll(r.tar)
	if err != nil {
		return nil, broken(err)
	}
	return data, nil
}

// broken says why a backup cannot be read.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", ErrBroken)
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// printable bounds a name that is told in an error.
func printable(name string) string { return strings.ToValidUTF8(name[:min(len(name), 100)], "?") }

// Verify reads a backup to its end and returns what it is of.
func Verify(ctx context.Context, from io.Reader) (Head, error) {
	r, err := open(from)
	if err != nil {
		return Head{}, err
	}
	defer r.close()
	return r.head, r.each(ctx, func(_ string, content io.Reader) error {
		_, err := io.Copy(io.Discard, content)
		return err
	})
}
