package mbox_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/mbox"
)

const limit = 1 << 20

var received = time.Date(2026, time.March, 2, 8, 5, 9, 0, time.UTC)

func readAll(r io.Reader) ([]mbox.Message, error) {
	var all []mbox.Message
	for reader := mbox.NewReader(r, limit); ; {
		message, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, message)
	}
}

func TestMessagesSurviveTheFile(t *testing.T) {
	t.Parallel()
	bodies := []string{
		"Subject: plain\r\n\r\nHello\r\n",
		"Subject: quoting\r\n\r\nFrom here\r\n>From there\r\n>>From everywhere\r\nFromage\r\n> not quoted\r\n",
		"Subject: blank end\r\n\r\ntext\r\n\r\n\r\n",
		"Subject: separator after a blank line\r\n\r\n\r\nFrom ada@x Mon Mar  2 08:05:09 2026\r\n",
		"Subject: no body\r\n\r\n",
		"Subject: long\r\n\r\n" + strings.Repeat("x", 200<<10) + "\r\n",
	}
	want := make([]mbox.Message, 0, len(bodies))
	var file bytes.Buffer
	for _, body := range bodies {
		message := mbox.Message{Sender: "ada@contoso.example", Received: received, Raw: []byte(body)}
		if err := mbox.Write(&file, message); err != nil {
			t.Fatal(err)
		}
		want = append(want, message)
	}
	got, err := readAll(&file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyFileHasNoMessages(t *testing.T) {
	t.Parallel()
	got, err := readAll(strings.NewReader("\n\n"))
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ file, want string }{
		"no separator":   {"Subject: x\n\n", `must start with a "From " line`},
		"no date":        {"From ada@x\n\n", `want "From <sender> <date>"`},
		"bad date":       {"From ada@x yesterday\n\n", "date:"},
		"second message": {"From a@x Mon Mar  2 08:05:09 2026\n\n\nFrom nobody\n", "mbox message 2"},
		"too large":      {"From a@x Mon Mar  2 08:05:09 2026\n" + strings.Repeat("y", limit+1), "message too large"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := mbox.NewReader(strings.NewReader(c.file), limit)
			var err error
			for err == nil {
				_, err = reader.Next()
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, again := reader.Next(); !errors.Is(again, err) {
				t.Errorf("the error did not stick: %v", again)
			}
		})
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	if err := mbox.Write(io.Discard, mbox.Message{Sender: "a b"}); err == nil {
		t.Error("a sender with a space was accepted")
	}
	if err := mbox.Write(brokenDisk{}, mbox.Message{Sender: "a@x"}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("From a@x Mon Mar  2 08:05:09 2026\nSubject: x\n\n>From b\n\nFrom c@x Mon Mar  2 08:05:09 2026\n\n"))
	f.Add([]byte("From \n"))
	f.Add([]byte("From a@x Mon Mar  2 08:05:09 2026"))
	f.Fuzz(func(t *testing.T, file []byte) {
		first, err := readAll(bytes.NewReader(file))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, message := range first {
			if err := mbox.Write(&again, message); err != nil {
				return // a separator may hold a sender that cannot be written, a tab for one
			}
		}
		second, err := readAll(&again)
		if err != nil {
			t.Fatalf("what was read cannot be read back: %v", err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatal(diff)
		}
	})
}
