package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBadCommandLinesNameTheRemedy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "give one of build, path, up, run"},
		{[]string{"down"}, `command "down" is unknown: give one of build, path, up, run`},
		{[]string{"build", "all"}, `build takes no argument: "all"`},
		{[]string{"up", "--wrong"}, "flag provided but not defined: -wrong"},
	} {
		var stderr bytes.Buffer
		if code := execute(t.Context(), test.args, io.Discard, &stderr); code != exitUsage {
			t.Errorf("%q exits with %d, want %d", test.args, code, exitUsage)
		}
		if !strings.Contains(stderr.String(), test.want) || !strings.Contains(stderr.String(), "see controlplane help") {
			t.Errorf("%q prints %q, want %q", test.args, stderr.String(), test.want)
		}
	}
}

func TestHelpShowsTheCommands(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	if code := execute(t.Context(), []string{"help"}, &stdout, io.Discard); code != 0 || stdout.String() != usage {
		t.Errorf("help exits with %d and prints %q", code, stdout.String())
	}
}

func TestFailedStartExitsWithOne(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	if code := execute(t.Context(), []string{"up", "--assets", t.TempDir()}, io.Discard, &stderr); code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	if !strings.Contains(stderr.String(), "start the control plane: start etcd: ") {
		t.Errorf("stderr %q does not say what failed", stderr.String())
	}
}

func TestRunPassesEnvironmentAndExitCode(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	config := filepath.Join(t.TempDir(), "kubeconfig")
	var stdout bytes.Buffer
	code := execute(t.Context(), []string{
		"run", "--api-only", "--quiet", "--kubeconfig", config, "--",
		"sh", "-c", `test -x "$KUBEBUILDER_ASSETS/etcd" && cmp "$KUBECONFIG" ` + config + ` && kubectl get namespace default --output=name; exit 7`,
	}, &stdout, t.Output())
	if code != 7 {
		t.Errorf("exit code %d, want the command's 7", code)
	}
	if got, want := stdout.String(), "namespace/default\n"; got != want {
		t.Errorf("the command printed %q, want %q", got, want)
	}
}

func TestRunWithoutCommandStopsThePlane(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	for _, args := range [][]string{{"run", "--api-only"}, {"up", "--api-only", "now"}} {
		if code := execute(t.Context(), args, io.Discard, t.Output()); code != exitUsage {
			t.Errorf("%q exits with %d, want %d", args, code, exitUsage)
		}
	}
}

func TestUpPrintsTheEnvironmentAndStopsAtTheSignal(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	code := make(chan int)
	go func() { code <- execute(ctx, []string{"up", "--api-only"}, write, t.Output()) }()
	first := make([]byte, 4096)
	n, err := read.Read(first)
	if err != nil {
		t.Fatal(err)
	}
	config, found := strings.CutPrefix(strings.SplitN(string(first[:n]), "\n", 2)[0], "export KUBECONFIG='")
	if !found {
		t.Fatalf("up prints %q, want the variable KUBECONFIG", first[:n])
	}
	config = strings.TrimSuffix(config, "'")
	if _, err := os.Stat(config); err != nil {
		t.Error(err)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
	if _, err := os.Stat(filepath.Dir(config)); !os.IsNotExist(err) {
		t.Errorf("the data folder is left: %v", err)
	}
}

func TestPathPrintsTheFolderOfTheBinaries(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles the control plane")
	}
	var stdout bytes.Buffer
	if code := execute(t.Context(), []string{"path"}, &stdout, t.Output()); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(strings.TrimSpace(stdout.String()), "kube-apiserver")); err != nil {
		t.Error(err)
	}
}

func TestShellQuoteKeepsTheWord(t *testing.T) {
	t.Parallel()
	if got, want := shellQuote(`it's $HOME`), `'it'\''s $HOME'`; got != want {
		t.Errorf("shellQuote = %s, want %s", got, want)
	}
}
