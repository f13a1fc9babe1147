package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// written is a log of the given streams, one second apart from line to line.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "folder", "0.log")
	file, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	file.now = func() time.Time {
		now = now.Add(time.Second)
		return now
	}
	if err := file.Copy("stdout", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string, options Options) string {
	t.Helper()
	reader, err := Read(t.Context(), path, nil, options)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	data, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLogIsReadAsOptionsAsk(t *testing.T) {
	t.Parallel()
	path := written(t, "one\ntwo\n\nfour\nfi")
	for _, test := range []struct {
		name    string
		options Options
		want    string
	}{
		{"all", Options{Tail: -1}, "one\ntwo\n\nfour\nfi"},
		{"none", Options{Tail: 0}, ""},
		{"last", Options{Tail: 2}, "four\nfi"},
		{"more than there is", Options{Tail: 99}, "one\ntwo\n\nfour\nfi"},
		{"limited", Options{Tail: -1, Limit: 6}, "one\ntw"},
		{"since", Options{Tail: -1, Since: time.Date(2030, 1, 1, 0, 0, 4, 0, time.UTC)}, "four\nfi"},
		{"times", Options{Tail: 1, Timestamps: true}, "2030-01-01T00:00:05Z fi"},
	} {
		if got := read(t, path, test.options); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestLongLineIsStoredInPartsAndReadAsOne(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*maxLine+5) + "\n"
	path := written(t, long+"end\n")
	if got := read(t, path, Options{Tail: -1}); got != long+"end\n" {
		t.Errorf("got %d bytes, want %d", len(got), len(long)+4)
	}
	if got := read(t, path, Options{Tail: -1, Timestamps: true}); strings.Count(got, "2030-") != 2 {
		t.Errorf("a line in parts must carry one time: %d times", strings.Count(got, "2030-"))
	}
}

func TestTailReachesBackOverManyChunks(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	for i := range 20000 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	got := read(t, written(t, text.String()), Options{Tail: 15000})
	if !strings.HasPrefix(got, "line 5000\n") || strings.Count(got, "\n") != 15000 {
		t.Errorf("got %d lines from %.20q", strings.Count(got, "\n"), got)
	}
}

func TestFollowingEndsWhenTheLogIsClosed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "0.log")
	file, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := Read(t.Context(), path, file.Done(), Options{Tail: -1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := file.Copy("stdout", strings.NewReader("first\n")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 6)
	if _, err := io.ReadFull(reader, buffer); err != nil || string(buffer) != "first\n" {
		t.Fatalf("got %q, %v", buffer, err)
	}
	if err := file.Copy("stderr", strings.NewReader("last\n")); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(reader); err != nil || string(rest) != "last\n" {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	reader, err := Read(ctx, written(t, "one\n"), make(chan struct{}), Options{Tail: -1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	buffer := make([]byte, 4)
	if _, err := io.ReadFull(reader, buffer); err != nil {
		t.Fatal(err)
	}
	cancel()
	if rest, err := io.ReadAll(reader); err != nil || len(rest) != 0 {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestMissingOrBrokenLogIsAnErrorOrEmpty(t *testing.T) {
	t.Parallel()
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "none"), nil, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(path, []byte("no log\nnever stdout F text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path, Options{Tail: -1}); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestStreamThatFailsIsReported(t *testing.T) {
	t.Parallel()
	file, err := Create(filepath.Join(t.TempDir(), "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := file.Copy("stdout", io.MultiReader(strings.NewReader("x"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Copy("stdout", strings.NewReader("x\n")); err == nil {
		t.Error("writing to a closed log gives no error")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzWhatIsWrittenIsRead(f *testing.F) {
	f.Add("one\ntwo\n")
	f.Add("\n\n\x00 F x")
	f.Add("no end")
	f.Fuzz(func(t *testing.T, text string) {
		if got := read(t, written(t, text), Options{Tail: -1}); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	})
}
