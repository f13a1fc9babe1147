package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
)

// probeName is the name under which this program is started to find out whether a mode works: it ends at once.
const probeName = "localnode-sandbox-probe"

// Detect finds the best mode that works on this machine by trying each in a temporary folder below dir. The second
// result says why better modes do not work.
func Detect(dir string) (Mode, error) {
	candidates := []Mode{UserNamespace}
	if os.Geteuid() == 0 {
		candidates = []Mode{Namespace, UserNamespace}
	}
	var reason error
	for _, mode := range candidates {
		err := try(mode, dir)
		if err == nil {
			return mode, nil
		}
		reason = fmt.Errorf("%s: %w", mode, err)
	}
	return Rewrite, reason
}

func try(mode Mode, dir string) error {
	temporary, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := image.Catalog{"self": self}.Resolve("self")
	if err != nil {
		return err
	}
	root := &Root{Dir: filepath.Join(temporary, "root"), Program: program}
	if err := root.Prepare("127.0.0.1", "probe"); err != nil {
		return err
	}
	plan := &Plan{
		Root: root.Dir, Binds: root.Binds(nil), Dir: "/", Hostname: "probe",
		Path: root.Executable(), Args: []string{probeName},
	}
	cmd, err := Command(mode, []string{"PATH=/"})
	if err != nil {
		return err
	}
	if err := plan.Launch(cmd, (*exec.Cmd).Start); err != nil {
		return err
	}
	return cmd.Wait()
}
