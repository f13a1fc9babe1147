// Package archive is the file that holds one account: a tar archive (PAX), compressed with zstd, that other programs
// can read too. Its members are
//
//	manifest.json           what the archive holds, with the hash of each section
//	blob/<hash>.eml         content, each once
//	records/<number>.jsonl  records, one JSON object a line
//	account/<number>.jsonl  the records that make the account known, written last by an import
//	trailer.json            says that nothing is missing
//
// An archive is written and read in one pass and in little memory. The package knows the container only; what the records
// mean, those know who write and apply them. The hashes tell damage, not forgery: an archive is not signed.
package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Version is that of the archives which this code writes, and the greatest that it reads.
const Version = 1

const (
	// MaxBlob is the most octets of the content of one member.
	MaxBlob = 1 << 30
	// MaxRecords is the most octets of a member of records.
	MaxRecords = 8 << 20
	// packAt is how many octets of records go into one member, more or less.
	packAt = 1 << 20
	// maxDocument bounds the manifest and the trailer.
	maxDocument = 64 << 10
)

// FirstMember is the name of the member with which an archive begins: its manifest.
const FirstMember = "manifest.json"

const trailerName = "trailer.json"

var (
	// ErrVersion says that a newer version wrote the archive.
	ErrVersion = errors.New("the archive is of a newer version")
	// ErrBroken says that the archive is not as it was written, or was never one.
	ErrBroken = errors.New("the archive is broken")
	// ErrTruncated says that the end of the archive is missing.
	ErrTruncated = errors.New("the archive is cut short")
	// ErrResidency says that an archive must not be imported where it is from somewhere else.
	ErrResidency = errors.New("the archive may not be imported here")
)

// Section is a part of an archive, which is verified as a whole.
type Section string

// The sections, in their order.
const (
	Blobs   Section = "blob"
	Records Section = "records"
	Account Section = "account"
)

var order = []Section{Blobs, Records, Account}

// Origin is where an account lives.
type Origin struct {
	// Cloud is the SovereignCloud, and Region the MailboxRegion as namespace/name.
	Cloud  string `json:"cloud"`
	Region string `json:"region"`
	// Geography is the geography code of the region, for people.
	Geography string `json:"geography,omitempty"`
}

// Same says whether two are one region.
func (o Origin) Same(other Origin) bool { return o.Cloud == other.Cloud && o.Region == other.Region }

// Manifest says what an archive holds.
type Manifest struct {
	Origin

	// Version is that of the container, and RecordVersion that of the records in it.
	Version       int `json:"version"`
	RecordVersion int `json:"recordVersion"`
	// Tenant is the "namespace/name" of the Tenant, and Account the id of the account.
	Tenant  string `json:"tenant"`
	Account string `json:"account"`
	// State is that of the account, for people.
	State string `json:"state"`
	// Created is when the archive was begun.
	Created time.Time `json:"created"`
	// Sections are what it holds, in their order.
	Sections []Contents `json:"sections"`
}

// Contents is what a section holds.
type Contents struct {
	Name    Section `json:"name"`
	Members int64   `json:"members"`
	Octets  int64   `json:"octets"`
	// SHA256 is the hash of a line for each member: its name, its size and the hash of its content.
	SHA256 string `json:"sha256"`
}

// Contents returns what a section of the archive holds.
func (m *Manifest) Contents(s Section) Contents {
	for _, c := range m.Sections {
		if c.Name == s {
			return c
		}
	}
	return Contents{Name: s}
}

// Admit returns ErrResidency unless the account may be imported at a place. No archive enters another cloud. Lives tells
// why the mailbox does not live there; nil says that one of the same region does, and none of another.
func (m *Manifest) Admit(to Origin, lives func(m *Manifest) error) error {
	if m.Cloud != to.Cloud {
		return fmt.Errorf("%w: manifest: cloud is %q and this is cloud %q: mail never changes the cloud, import it where it is from", ErrResidency, m.Cloud, to.Cloud)
	}
	var err error
	switch {
	case lives != nil:
		err = lives(m)
	case m.Region != to.Region:
		err = errors.New("import it where it is from")
	}
	if err != nil {
		return fmt.Errorf("%w: manifest: region is %q and this is region %q: %w", ErrResidency, m.Region, to.Region, err)
	}
	return nil
}

// parseManifest reads a manifest and what identifies the archive.
func parseManifest(data []byte) (*Manifest, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrBroken, err)
	}
	if head.Version > Version {
		return nil, fmt.Errorf("%w: %d, this program reads up to %d: import it with the version that wrote it, or a later one", ErrVersion, head.Version, Version)
	}
	m := &Manifest{}
	if err := strictly(data, m); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrBroken, err)
	}
	return m, m.check()
}

func (m *Manifest) check() error {
	wrong := func(what string) error { return fmt.Errorf("%w: manifest: %s", ErrBroken, what) }
	switch {
	case m.Version < 1 || m.RecordVersion < 1:
		return wrong("a version is below 1")
	case m.Cloud == "" || m.Region == "" || m.Tenant == "" || m.Account == "":
		return wrong("cloud, region, tenant or account is missing")
	case len(m.Sections) != len(order):
		return wrong("it does not list each section once")
	}
	for i, c := range m.Sections {
		if c.Name != order[i] || !c.valid() {
			return wrong(fmt.Sprintf("section %d is not that of %q with its counts and its hash", i, order[i]))
		}
	}
	return nil
}

// valid says whether counts and hash can be those of a section.
func (c *Contents) valid() bool {
	sum, err := hex.DecodeString(c.SHA256)
	return err == nil && len(sum) == sha256.Size && c.Members >= 0 && c.Octets >= 0
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

// trailer ends an archive.
type trailer struct {
	// Manifest is the hash of the manifest, which has those of all sections.
	Manifest string `json:"manifest"`
	Members  int64  `json:"members"`
}

// Position is how far a reader came in an archive. The zero value is the beginning.
type Position struct {
	// Next is the number of the next member; the first after the manifest is 0.
	Next int64 `json:"next"`
	// Sum is the hash of what came before: two readers that are at one position have read the same.
	Sum string `json:"sum,omitempty"`
}

// tally adds members up, section by section.
type tally struct {
	next     int64
	section  int
	contents Contents
	// sum is the hash of the present section, and all that of everything.
	sum, all hash.Hash
}

func newTally() *tally {
	return &tally{contents: Contents{Name: order[0]}, sum: sha256.New(), all: sha256.New()}
}

// add counts a member of the present section.
func (t *tally) add(name string, size int64, sum []byte) {
	t.next++
	t.contents.Members++
	t.contents.Octets += size
	line := fmt.Appendf(nil, "%s %d %x\n", name, size, sum)
	t.sum.Write(line)
	t.all.Write(line)
}

// close ends the present section and returns what it holds. Another one follows.
func (t *tally) close() Contents {
	out := t.contents
	out.SHA256 = hex.EncodeToString(t.sum.Sum(nil))
	t.sum.Reset()
	t.section++
	t.contents = Contents{}
	if t.section < len(order) {
		t.contents.Name = order[t.section]
	}
	return out
}

// position returns where the tally is.
func (t *tally) position() Position {
	if t.next == 0 {
		return Position{}
	}
	return Position{Next: t.next, Sum: hex.EncodeToString(t.all.Sum(nil))}
}
