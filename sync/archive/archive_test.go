package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var virginia = Origin{Cloud: "gcc-high", Region: "regions/virginia", Geography: "NAM"}

func manifest() *Manifest {
	return &Manifest{
		Version: Version, RecordVersion: 1, Origin: virginia, Tenant: "agency/agency", Account: "a1", State: "7",
		Created: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
	}
}

func hashName(content string) string {
	sum := sha256.Sum256([]byte(content))
	return strings.ToLower(hashes.EncodeToString(sum[:]))
}

// records are some of every shape of value.
var records = []Record{
	{Kind: "email", Key: []byte("m1\x00\xff"), Value: []byte(`{"subject":"<a> & b"}`)},
	{Kind: "seq", Value: []byte{0, 0, 0, 7}},
	{Kind: "empty"},
	{Kind: "spaced", Value: []byte(`{ "a": 1 }`)},
	{Kind: "twice", Value: []byte(`{"a":1}{"a":2}`)},
}

var known = []Record{{Kind: "meta", Value: []byte(`{"tenant":"agency/agency"}`)}}

func each(list []Record) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// content yields the members of an account with some blobs.
func content(tb testing.TB, blobs ...string) iter.Seq2[Member, error] {
	tb.Helper()
	slices.SortFunc(blobs, func(a, b string) int { return strings.Compare(hashName(a), hashName(b)) })
	return func(yield func(Member, error) bool) {
		for _, blob := range blobs {
			m, err := BlobMember(hashName(blob), int64(len(blob)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(blob)), nil })
			if !yield(m, err) {
				return
			}
		}
		for _, part := range []iter.Seq2[Member, error]{Pack(Records, each(records)), Pack(Account, each(known))} {
			for m, err := range part {
				if !yield(m, err) {
					return
				}
			}
		}
	}
}

// archiveOf writes an archive.
func archiveOf(tb testing.TB, blobs ...string) []byte {
	tb.Helper()
	m := manifest()
	if err := Plan(m, content(tb, blobs...)); err != nil {
		tb.Fatalf("plan: %v", err)
	}
	var out bytes.Buffer
	if err := Write(tb.Context(), &out, m, content(tb, blobs...)); err != nil {
		tb.Fatalf("write: %v", err)
	}
	return out.Bytes()
}

// read reads an archive to its end.
func read(data []byte) (blobs []string, have []Record, err error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return blobs, have, nil
		}
		if err != nil {
			return blobs, have, err
		}
		if e.Section == Blobs {
			blob, err := io.ReadAll(e)
			if err != nil {
				return blobs, have, err
			}
			blobs = append(blobs, string(blob))
			continue
		}
		more, err := r.Records(e)
		if err != nil {
			return blobs, have, err
		}
		have = append(have, more...)
	}
}

func TestAnArchiveIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := []string{"a", "", strings.Repeat("b", 3<<20)}
	data := archiveOf(t, want...)
	blobs, have, err := read(data)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	slices.Sort(blobs)
	slices.Sort(want)
	if diff := cmp.Diff(want, blobs); diff != "" {
		t.Errorf("blobs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(slices.Clone(records), known...), have); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	m, err := Verify(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if got := m.Contents(Blobs); got.Members != 3 || got.Octets != 3<<20+1 {
		t.Errorf("got contents %+v", got)
	}
	if !bytes.Equal(data, archiveOf(t, want...)) {
		t.Error("the archive of the same account at the same time is another one")
	}
}

func TestManyRecordsArePackedIntoMembers(t *testing.T) {
	t.Parallel()
	many := func(yield func(Record, error) bool) {
		for n := range 50 {
			if !yield(Record{Kind: "email", Key: fmt.Append(nil, n), Value: bytes.Repeat([]byte{byte(n)}, 100_000)}, nil) {
				return
			}
		}
	}
	m := manifest()
	if err := Plan(m, Pack(Records, many)); err != nil {
		t.Fatalf("plan: %v", err)
	}
	if got := m.Contents(Records).Members; got < 5 || got > 10 {
		t.Errorf("got %d members", got)
	}
	var out bytes.Buffer
	if err := Write(t.Context(), &out, m, Pack(Records, many)); err != nil {
		t.Fatalf("write: %v", err)
	}
	if _, have, err := read(out.Bytes()); err != nil || len(have) != 50 {
		t.Errorf("%d records, %v", len(have), err)
	}
}

func TestWhatChangesWhileItIsWrittenIsRefused(t *testing.T) {
	t.Parallel()
	m := manifest()
	if err := Plan(m, content(t, "a")); err != nil {
		t.Fatalf("plan: %v", err)
	}
	if err := Write(t.Context(), io.Discard, m, content(t, "a", "b")); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("got error %v", err)
	}
	other := func(yield func(Member, error) bool) {
		member, err := BlobMember(hashName("a"), 1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("b")), nil })
		yield(member, err)
	}
	if err := Write(t.Context(), io.Discard, m, other); !errors.Is(err, ErrBroken) {
		t.Errorf("got error %v", err)
	}
}

func TestRecordsAndBlobsThatAreTooLargeAreNotWritten(t *testing.T) {
	t.Parallel()
	large := func(yield func(Record, error) bool) {
		yield(Record{Kind: "email", Value: make([]byte, MaxRecords)}, nil)
	}
	if err := Plan(manifest(), Pack(Records, large)); err == nil {
		t.Error("a record that cannot be read was planned")
	}
	for _, size := range []int64{-1, MaxBlob + 1} {
		if _, err := BlobMember(hashName("a"), size, nil); err == nil {
			t.Errorf("a blob of %d octets was planned", size)
		}
	}
	if _, err := BlobMember("../a", 1, nil); err == nil {
		t.Error("a blob without a hash was planned")
	}
}

func TestOnlyAccountsThatLiveHereAreAdmitted(t *testing.T) {
	t.Parallel()
	not := errors.New("it does not live here")
	here := func(*Manifest) error { return nil }
	elsewhere := func(*Manifest) error { return not }
	for name, test := range map[string]struct {
		to    Origin
		lives func(*Manifest) error
		want  string
	}{
		"the same region":                  {virginia, nil, ""},
		"the same region, which it left":   {virginia, elsewhere, not.Error()},
		"another cloud":                    {Origin{Cloud: "worldwide", Region: "regions/virginia"}, here, `cloud is "gcc-high" and this is cloud "worldwide": mail never changes the cloud`},
		"another region":                   {Origin{Cloud: "gcc-high", Region: "regions/texas"}, nil, `region is "regions/virginia" and this is region "regions/texas": import it where it is from`},
		"another region that it is not in": {Origin{Cloud: "gcc-high", Region: "regions/texas"}, elsewhere, not.Error()},
		"another region that it lives in":  {Origin{Cloud: "gcc-high", Region: "regions/texas"}, here, ""},
	} {
		err := manifest().Admit(test.to, test.lives)
		if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) || (err != nil && !errors.Is(err, ErrResidency)) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func TestAnArchiveThatWasCutOrAlteredIsRefused(t *testing.T) {
	t.Parallel()
	data := archiveOf(t, "a", strings.Repeat("b", 1000))
	for at := range data {
		altered := bytes.Clone(data)
		altered[at] ^= 0x11
		if _, err := Verify(bytes.NewReader(data[:at])); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut at %d of %d: got error %v", at, len(data), err)
		}
		_, err := Verify(bytes.NewReader(altered))
		if err == nil && bytes.Equal(unpacked(t, altered), unpacked(t, data)) {
			// The compression does not use every bit that it has.
			continue
		}
		if !errors.Is(err, ErrBroken) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrVersion) {
			t.Errorf("altered at %d of %d: got error %v", at, len(data), err)
		}
	}
}

// unpacked undoes the compression.
func unpacked(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestASourceThatFailsIsNotTakenForABrokenArchive(t *testing.T) {
	t.Parallel()
	data := archiveOf(t, strings.Repeat("b", 1000))
	for _, cause := range []error{errors.New("the connection broke"), io.ErrUnexpectedEOF} {
		for at := range data {
			_, err := Verify(io.MultiReader(bytes.NewReader(data[:at]), failing{cause}))
			if !errors.Is(err, cause) || errors.Is(err, ErrBroken) || errors.Is(err, ErrTruncated) {
				t.Fatalf("at %d: got error %v", at, err)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
