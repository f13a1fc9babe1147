package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// pack makes a compressed archive of members.
func pack(tb testing.TB, all []*member) []byte {
	tb.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		tb.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, m := range all {
		h := m.header
		h.Size = max(h.Size, int64(len(m.content)))
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(m.content); err != nil {
				tb.Fatal(err)
			}
		}
	}
	_ = w.Close() // fails where a size is wrong on purpose
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// member is a member of an archive that is made by hand.
type member struct {
	header  tar.Header
	content []byte
}

// unpack undoes pack.
func unpack(tb testing.TB, data []byte) (all []*member) {
	tb.Helper()
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, &member{tar.Header{Name: h.Name, Size: h.Size, Typeflag: h.Typeflag, Format: tar.FormatPAX, PAXRecords: map[string]string{paxSum: h.PAXRecords[paxSum]}}, data})
		if h.PAXRecords[paxSum] == "" {
			all[len(all)-1].header.PAXRecords = nil
		}
	}
}

// seal gives a member the hash of its content, and the archive a manifest of its members and a trailer.
func seal(tb testing.TB, all []*member) []*member {
	tb.Helper()
	var m Manifest
	if err := json.Unmarshal(all[0].content, &m); err != nil {
		tb.Fatal(err)
	}
	t := newTally()
	m.Sections = nil
	for _, one := range all[1 : len(all)-1] {
		sum := sha256.Sum256(one.content)
		one.header.PAXRecords = map[string]string{paxSum: hex.EncodeToString(sum[:])}
		one.header.Size = int64(len(one.content))
		name, _, _ := strings.Cut(one.header.Name, "/")
		for t.section < len(order)-1 && slices.Contains(order, Section(name)) && order[t.section] != Section(name) {
			m.Sections = append(m.Sections, t.close())
		}
		t.add(one.header.Name, one.header.Size, sum[:])
	}
	for t.section < len(order) {
		m.Sections = append(m.Sections, t.close())
	}
	head, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(head)
	end, err := json.Marshal(trailer{Manifest: hex.EncodeToString(sum[:]), Members: t.next})
	if err != nil {
		tb.Fatal(err)
	}
	all[0].content, all[len(all)-1].content = head, end
	all[0].header.Size, all[len(all)-1].header.Size = int64(len(head)), int64(len(end))
	return all
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	whole := archiveOf(t, "a", "b")
	// Members are manifest, two blobs, records, account, trailer.
	for name, change := range map[string]func(all []*member) []*member{
		"a blob twice":              func(all []*member) []*member { return seal(t, slices.Insert(all, 2, all[1])) },
		"blobs out of order":        func(all []*member) []*member { all[1], all[2] = all[2], all[1]; return seal(t, all) },
		"records twice":             func(all []*member) []*member { return seal(t, slices.Insert(all, 3, all[3])) },
		"a blob under another hash": func(all []*member) []*member { all[1].content = []byte("c"); return seal(t, all) },
		"a name that leads out":     func(all []*member) []*member { all[1].header.Name = "blob/../../a"; return seal(t, all) },
		"an absolute name":          func(all []*member) []*member { all[1].header.Name = "/etc/passwd"; return seal(t, all) },
		"records that lead out":     func(all []*member) []*member { all[3].header.Name = "records/../a.jsonl"; return seal(t, all) },
		"records with a gap":        func(all []*member) []*member { all[3].header.Name = "records/00000002.jsonl"; return seal(t, all) },
		"a record without a kind":   func(all []*member) []*member { all[3].content = []byte("{}\n"); return seal(t, all) },
		"a record that is no JSON":  func(all []*member) []*member { all[3].content = []byte("x\n"); return seal(t, all) },
		"a record with more fields": func(all []*member) []*member {
			all[3].content = []byte(`{"kind":"a","more":1}` + "\n")
			return seal(t, all)
		},
		"a record of two values": func(all []*member) []*member {
			all[3].content = []byte(`{"kind":"a","json":{},"data":"eA=="}` + "\n")
			return seal(t, all)
		},
		"a record without an end":     func(all []*member) []*member { all[3].content = []byte(`{"kind":"a"}`); return seal(t, all) },
		"a member that is missing":    func(all []*member) []*member { return slices.Delete(all, 1, 2) },
		"a member more":               func(all []*member) []*member { return slices.Insert(all, 2, all[1]) },
		"something after the trailer": func(all []*member) []*member { return append(all, all[1]) },
		"another trailer": func(all []*member) []*member {
			all[5].content = bytes.Replace(all[5].content, []byte(`"members":4`), []byte(`"members":5`), 1)
			return all
		},
		"no trailer":                 func(all []*member) []*member { return all[:5] },
		"no manifest":                func(all []*member) []*member { return all[1:] },
		"a member without a hash":    func(all []*member) []*member { all[1].header.PAXRecords = nil; return all },
		"a member with another hash": func(all []*member) []*member { all[1].header.PAXRecords[paxSum] = strings.Repeat("0", 64); return all },
		"a link": func(all []*member) []*member {
			all[1].header.Typeflag, all[1].header.Linkname, all[1].content = tar.TypeSymlink, "/etc/passwd", nil
			all[1].header.Size = 0
			return all
		},
		"a blob larger than is told": func(all []*member) []*member {
			all[1].content = make([]byte, 1<<20)
			all[1].header.Size = 1 << 20
			return all
		},
		"a blob larger than is allowed": func(all []*member) []*member { all[1].header.Size = MaxBlob + 1; return all[:2] },
		"a manifest that is too large": func(all []*member) []*member {
			all[0].content = append(all[0].content, bytes.Repeat([]byte(" "), maxDocument)...)
			return all
		},
		"a manifest of another account": func(all []*member) []*member {
			all[0].content = bytes.Replace(all[0].content, []byte(`"a1"`), []byte(`"a2"`), 1)
			return all
		},
		"a manifest without a region": func(all []*member) []*member {
			all[0].content = bytes.Replace(all[0].content, []byte(`regions/virginia`), nil, 1)
			return all
		},
		"a manifest with more fields": func(all []*member) []*member {
			all[0].content = bytes.Replace(all[0].content, []byte(`{`), []byte(`{"more":1,`), 1)
			return all
		},
		"a manifest without sections": func(all []*member) []*member {
			all[0].content = bytes.Replace(all[0].content, []byte(`"blob"`), []byte(`"glob"`), 1)
			return all
		},
		"a manifest of version 0": func(all []*member) []*member {
			all[0].content = bytes.Replace(all[0].content, []byte(`"version": 1`), []byte(`"version": 0`), 1)
			return all
		},
		"a manifest that is no JSON": func(all []*member) []*member { all[0].content = []byte("x"); return all },
		"nothing":                    func([]*member) []*member { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := change(unpack(t, whole))
			for _, m := range all {
				if m.header.Size <= MaxBlob && m.header.Size != 1<<20 {
					m.header.Size = 0
				}
			}
			if _, err := Verify(bytes.NewReader(pack(t, all))); !errors.Is(err, ErrBroken) && !errors.Is(err, ErrTruncated) {
				t.Errorf("got error %v", err)
			}
		})
	}
	if _, err := Verify(bytes.NewReader(pack(t, seal(t, unpack(t, whole))))); err != nil {
		t.Errorf("one that nothing was done to: %v", err)
	}
}

func TestAnArchiveOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	all := unpack(t, archiveOf(t))
	all[0].content = []byte(`{"version":2,"novel":true}`)
	all[0].header.Size = 0
	if _, err := Verify(bytes.NewReader(pack(t, all))); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "the version that wrote it") {
		t.Errorf("got error %v", err)
	}
}

func TestCompressionThatWouldTakeMuchMemoryIsRefused(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 80 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(&out); !errors.Is(err, ErrBroken) {
		t.Errorf("got error %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(archiveOf(f))
	f.Add(archiveOf(f, "a", "b"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := Verify(bytes.NewReader(data)); err == nil && m.check() != nil {
			t.Errorf("an archive with manifest %+v is taken", m)
		}
	})
}

// FuzzMembers changes one member of an archive below the compression.
func FuzzMembers(f *testing.F) {
	whole := archiveOf(f, "a", "b")
	for i, m := range unpack(f, whole) {
		f.Add(i, m.header.Name, m.content, true)
	}
	f.Fuzz(func(t *testing.T, at int, name string, content []byte, sealed bool) {
		all := unpack(t, whole)
		if at < 0 || at >= len(all) || name == "" || strings.ContainsRune(name, 0) {
			t.Skip()
		}
		all[at].header.Name, all[at].content, all[at].header.Size = name, content, 0
		if sealed && at > 0 && at < len(all)-1 {
			all = seal(t, all)
		}
		_, _, err := read(pack(t, all))
		if err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrVersion) {
			t.Errorf("got error %v", err)
		}
	})
}

func FuzzParseRecords(f *testing.F) {
	f.Add([]byte(`{"kind":"a","json":{}}` + "\n"))
	f.Add([]byte(`{"kind":"a","key":"AA==","data":"eA=="}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseRecords(data)
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, r := range list {
			if err := appendRecord(&again, r); err != nil {
				t.Fatalf("write: %v", err)
			}
		}
		second, err := ParseRecords(again.Bytes())
		if diff := cmp.Diff(list, second); diff != "" || err != nil {
			t.Errorf("read again: %v, (-want +got):\n%s", err, diff)
		}
	})
}
