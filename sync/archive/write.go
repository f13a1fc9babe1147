package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// paxSum names the hash of the content in the header of a member (a PAX extended record).
const paxSum = "BAILIWICK.sha256"

// window is how far back the compression looks, and maxWindow what a reader allows, so that neither needs much memory.
const (
	window    = 4 << 20
	maxWindow = 8 << 20
)

// Plan fills in what the sections of a manifest hold, from members in the order of the sections. Content is not opened.
func Plan(m *Manifest, members iter.Seq2[Member, error]) error {
	t := newTally()
	m.Sections = nil
	for member, err := range members {
		if err != nil {
			return err
		}
		if m.Sections, err = t.reach(member.Section, m.Sections); err != nil {
			return err
		}
		t.add(member.Name, member.Size, member.SHA256[:])
	}
	for t.section < len(order) {
		m.Sections = append(m.Sections, t.close())
	}
	return nil
}

// reach closes the sections before another one.
func (t *tally) reach(s Section, closed []Contents) ([]Contents, error) {
	at := slices.Index(order, s)
	if at < t.section {
		return nil, fmt.Errorf("archive: section %q comes too late", s)
	}
	for t.section < at {
		closed = append(closed, t.close())
	}
	return closed, nil
}

// Write writes an archive of the members that its manifest was planned from.
func Write(ctx context.Context, to io.Writer, m *Manifest, members iter.Seq2[Member, error]) error {
	z, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	w := &writer{ctx: ctx, tar: tar.NewWriter(z), manifest: m, tally: newTally()}
	if err := w.write(members); err != nil {
		return errors.Join(err, z.Close())
	}
	if err := errors.Join(w.tar.Close(), z.Close()); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// writer writes one archive.
type writer struct {
	ctx      context.Context //nolint:containedctx // lives as long as one Write
	tar      *tar.Writer
	manifest *Manifest
	tally    *tally
}

func (w *writer) write(members iter.Seq2[Member, error]) error {
	head, err := json.MarshalIndent(w.manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := w.document(FirstMember, head); err != nil {
		return err
	}
	if err := w.members(members); err != nil {
		return err
	}
	sum := sha256.Sum256(head)
	end, err := json.Marshal(trailer{Manifest: hex.EncodeToString(sum[:]), Members: w.tally.next})
	if err != nil {
		return fmt.Errorf("write trailer: %w", err)
	}
	return w.document(trailerName, end)
}

// members writes the members and checks that they are those of the manifest.
func (w *writer) members(members iter.Seq2[Member, error]) error {
	var closed []Contents
	for member, err := range members {
		if err = errors.Join(err, w.ctx.Err()); err != nil {
			return err
		}
		if closed, err = w.tally.reach(member.Section, closed); err != nil {
			return err
		}
		if err := w.member(member); err != nil {
			return fmt.Errorf("write %q: %w", member.Name, err)
		}
		w.tally.add(member.Name, member.Size, member.SHA256[:])
	}
	for w.tally.section < len(order) {
		closed = append(closed, w.tally.close())
	}
	if !slices.Equal(closed, w.manifest.Sections) {
		return errors.New("write archive: what it is made of changed meanwhile: begin anew")
	}
	return nil
}

func (w *writer) member(m Member) error {
	content, err := m.Open()
	if err != nil {
		return err
	}
	sum := sha256.New()
	err = w.header(m.Name, m.Size, map[string]string{paxSum: hex.EncodeToString(m.SHA256[:])})
	if err == nil {
		_, err = io.Copy(io.MultiWriter(w.tar, sum), content)
	}
	if err = errors.Join(err, content.Close()); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), m.SHA256[:]) {
		return fmt.Errorf("%w: the content does not have its hash", ErrBroken)
	}
	return nil
}

func (w *writer) document(name string, data []byte) error {
	if err := w.header(name, int64(len(data)), nil); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if _, err := w.tar.Write(data); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	return nil
}

func (w *writer) header(name string, size int64, extra map[string]string) error {
	return w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.manifest.Created, Format: tar.FormatPAX, PAXRecords: extra,
	})
}
