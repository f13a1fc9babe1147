package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// shimFailed is the exit code of a shim that did not become the process.
const shimFailed = 125

// Shim must be the first thing that main calls. In a process that was started as a shim it does not return: the
// process becomes the container's. In any other process it does nothing.
func Shim() {
	switch os.Args[0] {
	case shimName:
	case probeName:
		os.Exit(0)
	default:
		return
	}
	runtime.LockOSThread()
	report := os.NewFile(errorDescriptor, "report")
	unix.CloseOnExec(errorDescriptor)
	err := become(os.NewFile(planDescriptor, "plan"))
	_, _ = report.WriteString(err.Error()) // there is nobody else to tell
	os.Exit(shimFailed)
}

// become returns only with an error.
func become(source *os.File) error {
	var plan Plan
	if err := json.NewDecoder(source).Decode(&plan); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	_ = source.Close() // it was read to its end
	if err := plan.enter(); err != nil {
		return err
	}
	// A parent's death signal is lost when credentials change, so it is set once more by the one that becomes the process.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("parent death signal: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	path := plan.Path
	if path == "" {
		found, err := lookup(plan.Args[0], os.Getenv("PATH"))
		if err != nil {
			return err
		}
		path = found
	}
	return fmt.Errorf("exec %q: %w", path, syscall.Exec(path, plan.Args, os.Environ()))
}

// enter builds the file system and moves into it.
func (p *Plan) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount(p.Root, p.Root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("root %q: %w", p.Root, err)
	}
	for _, bind := range p.Binds {
		if err := p.bind(bind); err != nil && !bind.Optional {
			return fmt.Errorf("mount %q on %q: %w", bind.Source, bind.Target, err)
		}
	}
	if err := p.mountProc(); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if p.ReadOnlyRoot {
		if err := readOnly(p.Root); err != nil {
			return fmt.Errorf("read-only root: %w", err)
		}
	}
	if err := unix.Sethostname([]byte(p.Hostname)); err != nil {
		return fmt.Errorf("host name %q: %w", p.Hostname, err)
	}
	return p.pivot()
}

func (p *Plan) pivot() error {
	if err := os.Chdir(p.Root); err != nil {
		return err
	}
	// With both arguments equal the old root ends up on top of the new one, so no folder is needed for it.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	if err := os.Chdir(p.Dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return nil
}

func (p *Plan) bind(bind Bind) error {
	if err := p.target(bind); err != nil {
		return err
	}
	target := filepath.Join(p.Root, bind.Target)
	if err := unix.Mount(bind.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if bind.ReadOnly {
		return readOnly(target)
	}
	return nil
}

// target makes the file or folder that is mounted over. It never leaves the root, whatever links are in it.
func (p *Plan) target(bind Bind) error {
	info, err := os.Stat(bind.Source)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(p.Root)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	relative := strings.TrimPrefix(bind.Target, "/")
	if info.IsDir() {
		return root.MkdirAll(relative, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(relative), 0o755); err != nil {
		return err
	}
	if _, err := root.Stat(relative); err == nil {
		return nil
	}
	file, err := root.Create(relative)
	if err != nil {
		return err
	}
	return file.Close()
}

// readOnly remounts a bind read-only. The flags that the mount has already must be repeated, because a user
// namespace may not take them away.
func readOnly(target string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(target, &stat); err != nil {
		return err
	}
	kept := uintptr(stat.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME) //nolint:gosec // flags are positive
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|kept, "")
}

// mountProc shows the processes of the new PID namespace; where the machine refuses that to a user namespace, the
// machine's own /proc is shown.
func (p *Plan) mountProc() error {
	target := filepath.Join(p.Root, "proc")
	if err := os.MkdirAll(target, 0o755); err != nil { //nolint:gosec // /proc is for everyone
		return err
	}
	err := unix.Mount("proc", target, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err != nil {
		err = unix.Mount("/proc", target, "", unix.MS_BIND|unix.MS_REC, "")
	}
	return err
}

// lookup finds a program as execvp does.
func lookup(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(path) {
		candidate := filepath.Join(dir, name)
		if info, err := os.Stat(candidate); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 { //nolint:gosec // the command and its PATH are the container's own
			return candidate, nil
		}
	}
	return "", fmt.Errorf("exec %q: executable file not found in PATH %q", name, path)
}
