package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

// Root is the root folder of one container, shared by its process and the commands that run beside it.
type Root struct {
	Dir     string
	Program image.Program
}

// hostFolders are shown read-only to programs that need the host.
var hostFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt"}

// hostFiles are shown read-only to every program: certificate authorities, time zones and name resolution.
var hostFiles = []string{
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/resolv.conf", "/etc/localtime", "/etc/alternatives",
	"/etc/ld.so.cache", "/usr/share/zoneinfo", "/usr/share/ca-certificates",
}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// Prepare makes the root folder with the files that programs expect in it. address and hostname are the pod's.
func (r *Root) Prepare(address, hostname string) error {
	for _, dir := range []string{"etc", "proc", "dev", "run", "var", "root"} {
		if err := os.MkdirAll(filepath.Join(r.Dir, dir), 0o755); err != nil { //nolint:gosec // the process may be any user
			return err
		}
	}
	for _, dir := range []string{"tmp", "dev/shm"} {
		full := filepath.Join(r.Dir, dir)
		if err := errors.Join(os.MkdirAll(full, 0o755), os.Chmod(full, 0o777|os.ModeSticky)); err != nil { //nolint:gosec // as on any system
			return err
		}
	}
	files := map[string]string{ //nolint:gosec // the lists of users and groups have no passwords
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"etc/hostname":      hostname + "\n",
		"etc/hosts":         fmt.Sprintf("127.0.0.1\tlocalhost\n%s\t%s\n", address, hostname),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	for name, target := range map[string]string{"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := link("/proc/self/"+target, filepath.Join(r.Dir, "dev", name)); err != nil {
			return err
		}
	}
	return r.linkHost()
}

// linkHost repeats links such as /bin -> usr/bin, which cannot be mounted.
func (r *Root) linkHost() error {
	if !r.Program.NeedsHost {
		return nil
	}
	for _, folder := range hostFolders {
		if target, err := os.Readlink(folder); err == nil {
			if err := link(target, filepath.Join(r.Dir, folder)); err != nil {
				return err
			}
		}
	}
	return nil
}

func link(target, name string) error {
	if err := os.Symlink(target, name); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}

// Executable is the path within the root at which the image's own program stands; it is empty for host images.
func (r *Root) Executable() string {
	if r.Program.Path == "" {
		return ""
	}
	return "/" + filepath.Base(r.Program.Path)
}

// Command returns args with the image's own program in the first place when args name it, wherever they expect it
// to be installed.
func (r *Root) Command(args []string) []string {
	if own := r.Executable(); own != "" && len(args) > 0 && path.Base(args[0]) == path.Base(own) {
		return append([]string{own}, args[1:]...)
	}
	return args
}

// Binds lists what is mounted below the root: the host's share, devices, the program, then the container's mounts.
func (r *Root) Binds(mounts []volume.Mount) []Bind {
	var binds []Bind
	if r.Program.NeedsHost {
		for _, folder := range hostFolders {
			if info, err := os.Lstat(folder); err == nil && info.IsDir() {
				binds = append(binds, Bind{Source: folder, Target: folder, ReadOnly: true})
			}
		}
	}
	for _, file := range hostFiles {
		if _, err := os.Stat(file); err == nil && (!r.Program.NeedsHost || path.Dir(path.Dir(file)) != "/usr") {
			binds = append(binds, Bind{Source: file, Target: file, ReadOnly: true, Optional: true})
		}
	}
	for _, device := range devices {
		binds = append(binds, Bind{Source: device, Target: device, Optional: device == "/dev/tty"})
	}
	if own := r.Executable(); own != "" {
		binds = append(binds, Bind{Source: r.Program.Path, Target: own, ReadOnly: true})
	}
	for _, mount := range mounts {
		binds = append(binds, Bind{Source: mount.Source, Target: mount.Target, ReadOnly: mount.ReadOnly})
	}
	return binds
}
