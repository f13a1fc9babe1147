package sandbox

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

func TestMain(m *testing.M) {
	Shim()
	os.Exit(m.Run())
}

// modes are the ways of making a sandbox that this machine allows.
func modes(t *testing.T) []Mode {
	t.Helper()
	var out []Mode
	for _, mode := range []Mode{Namespace, UserNamespace} {
		if err := try(mode, t.TempDir()); err != nil {
			t.Logf("%s: not allowed on this machine: %v", mode, err)
			continue
		}
		out = append(out, mode)
	}
	if len(out) == 0 {
		t.Skip("this machine allows no namespaces")
	}
	return out
}

// run runs a shell script in a sandbox.
func run(t *testing.T, mode Mode, mounts []volume.Mount, readOnly bool, args ...string) (string, error) {
	t.Helper()
	root := &Root{Dir: t.TempDir(), Program: image.Program{NeedsHost: true}}
	if err := root.Prepare("127.66.0.9", "pod-name"); err != nil {
		t.Fatal(err)
	}
	plan := &Plan{Root: root.Dir, Binds: root.Binds(mounts), ReadOnlyRoot: readOnly, Hostname: "pod-name", Dir: "/tmp", Args: args}
	cmd, err := Command(mode, []string{"PATH=/usr/bin:/bin", "GREETING=hello"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := plan.Launch(cmd, (*exec.Cmd).Start); err != nil {
		return "", err
	}
	err = cmd.Wait()
	return out.String(), err
}

func TestProcessSeesItsOwnFileSystem(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		data, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
		mounts := []volume.Mount{
			{Source: data, Target: "/var/lib/data"},
			{Source: data, Target: "/var/lib/data/nested/deep"},
			{Source: filepath.Dir(file), Target: "/read", ReadOnly: true},
			{Source: file, Target: "/etc/deep/file", ReadOnly: true},
		}
		script := `echo $GREETING $$; pwd; hostname; cat /etc/deep/file; echo; echo x > /var/lib/data/written; ` +
			`ls /var/lib/data/nested/deep; touch /read/x 2>/dev/null || echo read-only; touch /usr/x 2>/dev/null || echo host read-only; ` +
			`touch /own && echo own root; echo > /dev/null && echo null; ls -d /home /root/* 2>/dev/null; grep -c pod-name /etc/hosts`
		got, err := run(t, mode, mounts, false, "sh", "-c", script)
		if err != nil {
			t.Fatalf("%s: %v: %s", mode, err, got)
		}
		want := "hello 1\n/tmp\npod-name\ncontent\nnested\nwritten\nread-only\nhost read-only\nown root\nnull\n1\n"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", mode, diff)
		}
		if written, err := os.ReadFile(filepath.Join(data, "written")); err != nil || string(written) != "x\n" {
			t.Errorf("%s: the volume has %q, %v", mode, written, err)
		}
		if _, err := os.Stat("/own"); err == nil {
			t.Errorf("%s: the process wrote to the machine's root", mode)
		}
	}
}

func TestRootCanBeReadOnly(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		data := t.TempDir()
		got, err := run(t, mode, []volume.Mount{{Source: data, Target: "/data"}}, true, "sh", "-c", "touch /x 2>/dev/null || echo refused; touch /data/x && echo volume")
		if err != nil || got != "refused\nvolume\n" {
			t.Errorf("%s: got %q, %v", mode, got, err)
		}
	}
}

func TestExitCodeIsThatOfTheProcess(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		_, err := run(t, mode, nil, false, "sh", "-c", "exit 42")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 42 {
			t.Errorf("%s: got %v", mode, err)
		}
	}
}

func TestStartThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		for want, attempt := range map[string]func() (string, error){
			`exec "nobody-has-this": executable file not found`: func() (string, error) { return run(t, mode, nil, false, "nobody-has-this") },
			`exec "/nobody/has/this": no such file`:             func() (string, error) { return run(t, mode, nil, false, "/nobody/has/this") },
			`mount "/does/not/exist" on "/x"`: func() (string, error) {
				return run(t, mode, []volume.Mount{{Source: "/does/not/exist", Target: "/x"}}, false, "true")
			},
		} {
			if _, err := attempt(); !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", mode, err, want)
			}
		}
	}
}

func TestMountCannotFollowALinkOutOfTheRoot(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	root := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	plan := &Plan{Root: root}
	if err := plan.target(Bind{Source: t.TempDir(), Target: "/link/made"}); err == nil {
		t.Error("a folder was made through a link out of the root")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside of the root: %v, %v", entries, err)
	}
}

func TestOwnProgramIsFoundWhereverItIsExpected(t *testing.T) {
	t.Parallel()
	root := &Root{Program: image.Program{Path: "/build/bailiwick"}}
	for input, want := range map[string]string{
		"bailiwick": "/bailiwick", "/usr/local/bin/bailiwick": "/bailiwick", "/build/bailiwick": "/bailiwick", "sh": "sh",
	} {
		if got := root.Command([]string{input, "arg"}); got[0] != want || got[1] != "arg" {
			t.Errorf("%s: got %v", input, got)
		}
	}
	host := &Root{Program: image.Program{NeedsHost: true}}
	if got := host.Command([]string{"sh"}); got[0] != "sh" || host.Executable() != "" {
		t.Errorf("host image: got %v", got)
	}
}

func TestDetectionChoosesAModeThatWorks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mode, reason := Detect(dir)
	if mode == Rewrite && reason == nil {
		t.Error("rewriting was chosen without a reason")
	}
	if mode != Rewrite {
		if err := try(mode, dir); err != nil {
			t.Errorf("%s was chosen: %v", mode, err)
		}
	}
	if mode, reason := Detect(filepath.Join(dir, "none")); mode != Rewrite || reason == nil {
		t.Errorf("without a folder: got %s, %v", mode, reason)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("detection left %v, %v", entries, err)
	}
	names := map[string]bool{Rewrite.String(): true, UserNamespace.String(): true, Namespace.String(): true}
	if len(names) != 3 {
		t.Errorf("modes share a name: %v", names)
	}
}

func TestShimThatCannotBeStartedIsAnError(t *testing.T) {
	t.Parallel()
	plan := &Plan{Root: t.TempDir(), Args: []string{"true"}}
	refused := errors.New("refused")
	if err := plan.Launch(&exec.Cmd{}, func(*exec.Cmd) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	plain := &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", "echo broken >&4; exit 1"}, SysProcAttr: &syscall.SysProcAttr{}}
	if err := plan.Launch(plain, (*exec.Cmd).Start); !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
}
