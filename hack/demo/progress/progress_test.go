package progress_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/hack/demo/progress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLinesCarryTheTime(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := progress.New(&out)
	log.Sayf("region %q", "paris")
	if !regexp.MustCompile(`^\[ +\d+\.\ds\] region "paris"\n$`).Match(out.Bytes()) {
		t.Errorf("got %q", out.String())
	}
}

func TestWrittenPartsBecomeWholeLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := progress.New(&out)
	for _, part := range []string{"one\ntw", "o\n", "unfinished"} {
		if n, err := log.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	got := out.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, "] two\n") || strings.Contains(got, "unfinished") {
		t.Errorf("got %q", got)
	}
}

func TestStepNamesWhatFailed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := progress.New(&out)
	cause := errors.New("no space")
	err := log.Step(t.Context(), "write files", func(context.Context) error { return cause })
	if !errors.Is(err, cause) || err.Error() != "write files: no space" {
		t.Errorf("got %v", err)
	}
	if err := log.Step(t.Context(), "rest", func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "write files …") || !strings.Contains(out.String(), "rest …") {
		t.Errorf("got %q", out.String())
	}
}
