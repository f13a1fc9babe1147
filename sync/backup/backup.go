// Package backup makes a backup of an embedded store while it serves, verifies one, and restores it. A backup is one
// file: a tar archive (PAX), compressed with zstd, that other programs can read too. Its members are
//
//	backup.json                of which store it is, and how much follows
//	kv/<name>                  the files of the ordered space
//	objects/<folder>/<name>    large values, unless they are kept in a bucket
//	trailer.json               the hash of all of that
//
// It is written and read in one pass and in little memory. The hash tells damage, not forgery: a backup is not signed.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Version is that of the backups which this code writes, and the greatest that it reads.
const Version = 1

// FirstMember is the name of the member with which a backup begins.
const FirstMember = "backup.json"

const (
	trailerName = "trailer.json"
	// maxDocument bounds both.
	maxDocument = 64 << 10
	// window is how far back the compression looks, and maxWindow what a reader allows.
	window    = 4 << 20
	maxWindow = 8 << 20
)

var (
	// ErrBroken says that a backup is not as it was written, is cut short, or was never one.
	ErrBroken = errors.New("the backup is broken")
	// ErrVersion says that a newer version wrote the backup.
	ErrVersion = errors.New("the backup is of a newer version")
	// ErrOrigin says that the backup is of another region.
	ErrOrigin = errors.New("the backup is of another region")
	// ErrNotEmpty says that there is something where a backup is to be restored to.
	ErrNotEmpty = errors.New("the folder is not empty")
	// ErrUnfinished says that a restore was begun and has not ended.
	ErrUnfinished = errors.New("a restore was begun here and has not ended")
	// ErrSpace says that a backup does not fit where it is to be restored to.
	ErrSpace = errors.New("there is not enough space")
)

// members are the names that files of a store have in a backup. None of them leads out of a folder.
var members = regexp.MustCompile(`^(kv/[A-Za-z0-9][A-Za-z0-9._-]*|objects/o-[a-z0-9_-]{2}/[A-Za-z0-9_-]{2,})$`)

// Head says what a backup is of.
type Head struct {
	Origin

	Version int `json:"version"`
	// Created is when the backup was begun. All that was acknowledged before is in it.
	Created time.Time `json:"created"`
	// Files and Octets are how much follows.
	Files  int64 `json:"files"`
	Octets int64 `json:"octets"`
}

// trailer ends a backup.
type trailer struct {
	// SHA256 is the hash of the head, and of a line for each file: its name, its size and the hash of its content.
	SHA256 string `json:"sha256"`
}

// Store is an embedded store of which a backup is made.
type Store struct {
	Origin

	Engine store.Engine
	// Dir is the folder of the store. The copy lies there while it is written out.
	Dir string
}

// Take writes a backup of a store while it serves. Only one may be made at a time.
func (s Store) Take(ctx context.Context, to io.Writer, now time.Time) (err error) {
	copied := filepath.Join(s.Dir, copyName)
	if err := os.RemoveAll(copied); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	if err := store.Checkpoint(ctx, s.Engine, copied); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	root, err := os.OpenRoot(copied)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	head := Head{Version: Version, Origin: s.Origin, Created: now.UTC()}
	if err := write(ctx, to, head, root.FS()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// write writes a backup of the files of a copy, which nothing changes.
func write(ctx context.Context, to io.Writer, head Head, files fs.FS) error {
	err := walk(ctx, files, func(_ string, info fs.FileInfo) error {
		head.Files++
		head.Octets += info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	w := &writer{tar: tar.NewWriter(z), created: head.Created, sum: sha256.New()}
	if err := w.write(ctx, head, files); err != nil {
		return errors.Join(err, z.Close())
	}
	return errors.Join(w.tar.Close(), z.Close())
}

// walk visits the files of a copy.
func walk(ctx context.Context, files fs.FS, visit func(name string, info fs.FileInfo) error) error {
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || entry.IsDir() {
			return err
		}
		if !members.MatchString(name) || !entry.Type().IsRegular() {
			return fmt.Errorf("%w: the copy has %q, which is no file of a store", store.ErrInvalid, name)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return visit(name, info)
	})
}

// writer writes one backup.
type writer struct {
	tar     *tar.Writer
	created time.Time
	sum     hash.Hash
}

func (w *writer) write(ctx context.Context, head Head, files fs.FS) error {
	data, err := json.MarshalIndent(head, "", "  ")
	if err != nil {
		return err
	}
	w.sum.Write(data)
	if err := w.document(FirstMember, data); err != nil {
		return err
	}
	err = walk(ctx, files, func(name string, info fs.FileInfo) error { return w.file(files, name, info.Size()) })
	if err != nil {
		return err
	}
	data, err = json.Marshal(trailer{SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	if err != nil {
		return err
	}
	return w.document(trailerName, data)
}

func (w *writer) file(files fs.FS, name string, size int64) error {
	content, err := files.Open(name)
	if err != nil {
		return err
	}
	sum := sha256.New()
	err = w.header(name, size)
	if err == nil {
		_, err = io.Copy(io.MultiWriter(w.tar, sum), content)
	}
	if err = errors.Join(err, content.Close()); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	addLine(w.sum, name, size, sum)
	return nil
}

// addLine counts a file.
func addLine(to hash.Hash, name string, size int64, sum hash.Hash) {
	_, _ = fmt.Fprintf(to, "%s %d %x\n", name, size, sum.Sum(nil)) // a hash takes everything
}

func (w *writer) document(name string, data []byte) error {
	if err := w.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err := w.tar.Write(data)
	return err
}

func (w *writer) header(name string, size int64) error {
	return w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.created, Format: tar.FormatPAX,
	})
}
