package process_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/hack/demo/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, script string, environment ...string) *process.Child {
	t.Helper()
	child, err := process.Start("sample", "/bin/sh", filepath.Join(t.TempDir(), "log"), environment, "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func TestProgramThatEndsTellsWhy(t *testing.T) {
	t.Parallel()
	child := start(t, `echo "said $WORD"; exit 3`, "WORD=hello")
	<-child.Exited()
	got := child.Failure().Error()
	for _, want := range []string{"sample ended", "exit status 3", "said hello"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not contain %q", got, want)
		}
	}
	if err := child.Stop(t.Context()); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
}

func TestSilentSuccessIsAFailureToo(t *testing.T) {
	t.Parallel()
	child := start(t, "true")
	<-child.Exited()
	if got := child.Failure().Error(); !strings.Contains(got, "exit status 0") {
		t.Errorf("got %q", got)
	}
}

func TestStopAsksFirst(t *testing.T) {
	t.Parallel()
	child := start(t, `trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done`)
	waitFor(t, child, "ready")
	if err := child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := child.Tail(); !strings.Contains(got, "bye") {
		t.Errorf("log: %q", got)
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	child := start(t, `trap '' INT; echo ready; while :; do sleep 0.05; done`)
	waitFor(t, child, "ready")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := child.Stop(ctx); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v", err)
	}
}

func TestStartReportsWhatIsMissing(t *testing.T) {
	t.Parallel()
	if _, err := process.Start("x", "/nonexistent/program", filepath.Join(t.TempDir(), "log"), nil); err == nil {
		t.Error("a missing program started")
	}
	if _, err := process.Start("x", "/bin/sh", "/nonexistent/log", nil); err == nil {
		t.Error("a log in a missing folder was opened")
	}
}

func waitFor(t *testing.T, child *process.Child, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(child.Tail(), text) {
			return
		}
	}
	t.Fatalf("the program never said %q", text)
}
