package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// member is a member of a backup that is made by hand.
type member struct {
	name, content string
	kind          byte
	// size is told in the place of that of the content.
	size int64
}

// pack makes a compressed archive of members.
func pack(tb testing.TB, all ...member) io.Reader {
	tb.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		tb.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, m := range all {
		size := max(m.size, int64(len(m.content)))
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Size: size, Format: tar.FormatPAX}
		if m.kind == tar.TypeSymlink {
			h.Linkname, h.Size = m.content, 0
			m.content = ""
		}
		if err := w.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			tb.Fatal(err)
		}
	}
	_ = w.Close() // fails where a size is wrong on purpose
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return &out
}

// told is a backup of files with the head and the trailer that are theirs.
func told(files ...member) []member {
	octets := 0
	for _, f := range files {
		octets += len(f.content)
	}
	head := fmt.Sprintf(`{"version":1,"cloud":%q,"region":%q,"created":"2026-11-25T12:00:00Z","files":%d,"octets":%d}`, virginia.Cloud, virginia.Region, len(files), octets)
	sum := sha256.New()
	sum.Write([]byte(head))
	for _, f := range files {
		one := sha256.New()
		one.Write([]byte(f.content))
		addLine(sum, f.name, int64(len(f.content)), one)
	}
	end := fmt.Sprintf(`{"sha256":%q}`, hex.EncodeToString(sum.Sum(nil)))
	return append(append([]member{{name: FirstMember, content: head}}, files...), member{name: trailerName, content: end})
}

func TestHostileBackupsAreRefusedAndTouchNothing(t *testing.T) {
	t.Parallel()
	plain := told(member{name: "kv/a", content: "x"})
	head, end := plain[0], plain[2]
	for name, all := range map[string][]member{
		"a name that leads out":            told(member{name: "../kv/a", content: "x"}),
		"a name that leads out later":      told(member{name: "kv/../../a", content: "x"}),
		"a name of two dots":               told(member{name: "kv/..", content: "x"}),
		"an absolute name":                 told(member{name: "/kv/a", content: "x"}),
		"a name in another folder":         told(member{name: "etc/a", content: "x"}),
		"a name with a backslash":          told(member{name: `kv/..\a`, content: "x"}),
		"an object in a folder of another": told(member{name: "objects/../kv/a", content: "x"}),
		"a link":                           told(member{name: "kv/a", content: "/etc/passwd", kind: tar.TypeSymlink}),
		"a file twice":                     told(member{name: "kv/a", content: "x"}, member{name: "kv/a", content: "x"}),
		"more than the head tells":         {head, {name: "kv/a", content: strings.Repeat("x", 1000)}, end},
		"more files than the head tells":   {head, plain[1], {name: "kv/b"}, end},
		"less than the head tells":         {head, {name: "kv/a"}, end},
		"other content":                    {head, {name: "kv/a", content: "y"}, end},
		"another name":                     {head, {name: "kv/b", content: "x"}, end},
		"no trailer":                       {head, plain[1]},
		"something after the trailer":      {head, plain[1], end, {name: "kv/b"}},
		"no head":                          {plain[1], end},
		"a head with more fields":          {{name: FirstMember, content: strings.Replace(head.content, "{", `{"more":1,`, 1)}, plain[1], end},
		"a head without a region":          {{name: FirstMember, content: `{"version":1,"cloud":"gcc-high","files":1}`}},
		"a head that is too large":         {{name: FirstMember, content: strings.Repeat(" ", maxDocument) + head.content}, plain[1], end},
		"a head that is no JSON":           {{name: FirstMember, content: "x"}},
		"nothing":                          {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outside := t.TempDir()
			dir := filepath.Join(outside, "in", "data")
			_, err := Restore(t.Context(), pack(t, all...), dir, virginia, noon)
			if !errors.Is(err, ErrBroken) {
				t.Errorf("got error %v", err)
			}
			if left := list(t, dir); len(left) > 0 {
				t.Errorf("the folder has %q", left)
			}
			if left := list(t, outside); len(left) != 1 {
				t.Errorf("beside the folder there is %q", left)
			}
		})
	}
}

func TestABackupOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	_, err := Verify(t.Context(), pack(t, member{name: FirstMember, content: `{"version":2,"novel":true}`}))
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "the version that wrote it") {
		t.Errorf("got error %v", err)
	}
}

func TestABackupThatWasCutOrAlteredIsRefusedAndTouchesNothing(t *testing.T) {
	t.Parallel()
	data := backupOf(t, 3)
	if _, err := Verify(t.Context(), bytes.NewReader(data)); err != nil {
		t.Fatalf("verify: %v", err)
	}
	dir := t.TempDir()
	for n := range 24 {
		at := len(data) * n / 24
		altered := bytes.Clone(data)
		altered[at] ^= 0x40
		for what, broken := range map[string][]byte{"cut": data[:at], "altered": altered} {
			if sameContent(t, data, broken) {
				continue // a bit that says nothing: compression has some
			}
			if _, err := Restore(t.Context(), bytes.NewReader(broken), dir, virginia, noon); !errors.Is(err, ErrBroken) {
				t.Errorf("%s at %d of %d: got error %v", what, at, len(data), err)
			}
		}
	}
	if left := list(t, dir); len(left) > 0 {
		t.Errorf("the folder has %q", left)
	}
}

// sameContent says whether two backups are the same to all who decompress them.
func sameContent(t *testing.T, one, other []byte) bool {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, errA := d.DecodeAll(one, nil)
	b, errB := d.DecodeAll(other, nil)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func TestCompressionThatWouldTakeMuchMemoryIsRefused(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(z, io.LimitReader(zeros{}, 80<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), &out); !errors.Is(err, ErrBroken) {
		t.Errorf("got error %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzVerify(f *testing.F) {
	for _, all := range [][]member{nil, told(), told(member{name: "kv/a", content: "x"}, member{name: "objects/o-ab/ab", content: "y"})} {
		data, err := io.ReadAll(pack(f, all...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		head, err := Verify(t.Context(), bytes.NewReader(data))
		if err == nil && (head.Version != Version || head.Cloud == "" || head.Region == "") {
			t.Errorf("a backup with head %+v is taken", head)
		}
	})
}

// FuzzMembers reads the members of a backup as they are, so that what is below the compression is met.
func FuzzMembers(f *testing.F) {
	f.Add(FirstMember, told(member{name: "kv/a", content: "x"})[0].content, "kv/a", "x")
	f.Add("a", "{}", "../b", "")
	f.Fuzz(func(t *testing.T, first, head, name, content string) {
		if strings.ContainsRune(first+name, 0) || first == "" || name == "" {
			t.Skip()
		}
		dir := filepath.Join(t.TempDir(), "data")
		var out bytes.Buffer
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(z)
		for _, m := range []member{{name: first, content: head}, {name: name, content: content}} {
			if w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.content)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}) != nil {
				t.Skip()
			}
			if _, err := io.WriteString(w, m.content); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), z.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), &out, dir, virginia, noon); err == nil {
			t.Error("a backup without a trailer is taken")
		}
		if left := list(t, dir); len(left) > 0 {
			t.Errorf("the folder has %q", left)
		}
	})
}
