package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

// service is an S3 service in memory that counts requests.
type service struct {
	*httptest.Server

	ranged, parts int
	down          bool
}

func newService(t *testing.T) *service {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("mail"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(backend).Server()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			s.ranged++
		}
		if r.URL.Query().Has("partNumber") {
			s.parts++
		}
		if s.down {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func credentialsFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, []byte(`{"accessKey": "a", "secretKey": "s", "region": "us-east-1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *service) bucket(t *testing.T) *Bucket {
	t.Helper()
	b, err := Open(t.Context(), Options{Endpoint: s.URL, Bucket: "mail", CredentialsFile: credentialsFile(t)})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return b
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestObjectsAreKeptAndReadInRanges(t *testing.T) {
	t.Parallel()
	s := newService(t)
	b := s.bucket(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), (20<<20)/16)
	size, err := b.Write(t.Context(), "object-1", bytes.NewReader(content))
	if err != nil || size != int64(len(content)) {
		t.Fatalf("write: %d, %v", size, err)
	}
	if s.parts != 3 {
		t.Errorf("the upload had %d parts, want 3", s.parts)
	}
	o, err := b.Open(t.Context(), "object-1")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer o.Close()
	part := make([]byte, 40)
	if _, err := o.ReadAt(part, chunkSize-20); err != nil || !bytes.Equal(part, content[chunkSize-20:][:40]) {
		t.Errorf("range over two chunks: %q, %v", part, err)
	}
	if s.ranged != 2 {
		t.Errorf("%d requests for ranges, want 2", s.ranged)
	}
	if n, err := o.ReadAt(part, size-10); n != 10 || !errors.Is(err, io.EOF) {
		t.Errorf("range over the end: %d, %v", n, err)
	}
	all, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil || !bytes.Equal(all, content) {
		t.Errorf("whole: %d octets, %v", len(all), err)
	}
	for range 2 {
		if err := b.Remove(t.Context(), "object-1"); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	if _, err := b.Open(t.Context(), "object-1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed object: %v", err)
	}
}

func TestHalfAnObjectIsNone(t *testing.T) {
	t.Parallel()
	b := newService(t).bucket(t)
	broken := errors.New("read failed")
	for name, head := range map[string]int{"short": 100, "long": 20 << 20} {
		_, err := b.Write(t.Context(), name, io.MultiReader(strings.NewReader(strings.Repeat("x", head)), failing{broken}))
		if !errors.Is(err, broken) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: got error %v", name, err)
		}
		if _, err := b.Open(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: half of it is there: %v", name, err)
		}
	}
}

func TestAnyEngineCanKeepItsBlobsHere(t *testing.T) {
	t.Parallel()
	b := newService(t).bucket(t)
	e, err := pebble.Open(t.Context(), t.TempDir(), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	with := store.WithObjects(e, b)
	defer with.Close()
	blobs := store.NewBlobs(with, nil)
	for _, size := range []int{0, 100, store.InlineLimit, 3 << 20} {
		info, err := blobs.Put(t.Context(), "s", strings.NewReader(strings.Repeat("y", size)))
		if err != nil {
			t.Fatalf("put %d: %v", size, err)
		}
		o, err := blobs.Open(t.Context(), "s", info.Hash)
		if err != nil || o.Size() != int64(size) {
			t.Fatalf("open %d: %v", size, err)
		}
		if info.Object != "" {
			if _, err := b.Open(t.Context(), info.Object); err != nil {
				t.Errorf("the object is not in the bucket: %v", err)
			}
			if _, err := e.Objects().Open(t.Context(), info.Object); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the object is in the folder: %v", err)
			}
		}
		o.Close()
	}
	if n, err := blobs.Collect(t.Context(), "s", 0); n != 4 || err != nil {
		t.Errorf("collected %d, %v", n, err)
	}
}

func TestServiceThatRefusesIsUnavailable(t *testing.T) {
	t.Parallel()
	s := newService(t)
	b := s.bucket(t)
	s.down = true
	_, writeErr := b.Write(t.Context(), "ab", strings.NewReader("x"))
	_, openErr := b.Open(t.Context(), "ab")
	for name, err := range map[string]error{"ready": b.Ready(t.Context()), "write": writeErr, "open": openErr, "remove": b.Remove(t.Context(), "ab")} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func TestWrongChoicesAreNamed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	good := Options{Endpoint: s.URL, Bucket: "mail", CredentialsFile: credentialsFile(t)}
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"plain http", func(o *Options) { o.Endpoint = "http://s3.example" }, "use https"},
		{"no scheme", func(o *Options) { o.Endpoint = "s3.example" }, "write it as https://host"},
		{"a path", func(o *Options) { o.Endpoint = "https://s3.example/mail" }, "write it as https://host"},
		{"no file", func(o *Options) { o.CredentialsFile = "/nowhere" }, "/nowhere"},
		{"no bucket", func(o *Options) { o.Bucket = "other" }, `bucket "other"`},
	} {
		o := good
		c.change(&o)
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
	for _, name := range []string{"", "../a", "a/b", "a b"} {
		if _, err := s.bucket(t).Write(t.Context(), name, nil); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("name %q: got error %v", name, err)
		}
	}
}

func TestChangedCredentialsAreReadAgain(t *testing.T) {
	t.Parallel()
	path := credentialsFile(t)
	p := &fileProvider{path: path}
	if v, err := p.Retrieve(); err != nil || v.AccessKeyID != "a" || p.IsExpired() {
		t.Fatalf("got %q, %v, expired %t", v.AccessKeyID, err, p.IsExpired())
	}
	if err := os.WriteFile(path, []byte(`{"accessKey": "b", "secretKey": "s"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	later := p.modified.Add(1e9)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	if !p.IsExpired() {
		t.Error("the change was not seen")
	}
	if v, err := p.Retrieve(); err != nil || v.AccessKeyID != "b" {
		t.Errorf("got %q, %v", v.AccessKeyID, err)
	}
}

func FuzzCredentials(f *testing.F) {
	for _, seed := range []string{`{"accessKey":"a","secretKey":"b"}`, `{"accessKey":"a"}`, `a:b`, `{"accessKey":"a","secretKey":"b"} x`, `{"secret":1}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := ParseCredentials(content)
		if (err == nil) != (c.AccessKey != "" && c.SecretKey != "") {
			t.Errorf("%q gives keys and error %v", content, err)
		}
		if err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("error %v", err)
		}
	})
}
