package survivor_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/survivor"
)

// copyProgram copies sleep, so that its processes are told from others of the machine.
func copyProgram(t *testing.T, folder string) string {
	t.Helper()
	source, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep on this machine")
	}
	from, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(folder, "program")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsLeftIsNamed(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	program := copyProgram(t, folder)
	watch, err := survivor.New([]string{program}, []string{folder})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := watch.Check(0); err == nil || !strings.Contains(err.Error(), "process ") || !strings.Contains(err.Error(), "folder "+folder) {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := watch.Check(0); err == nil || strings.Contains(err.Error(), "folder") {
		t.Errorf("got %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := watch.Check(10 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestMissingProgramCannotBeWatched(t *testing.T) {
	t.Parallel()
	if _, err := survivor.New([]string{"/nonexistent"}, nil); err == nil {
		t.Error("a missing program was accepted")
	}
}
