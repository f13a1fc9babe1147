// Package binary compiles the programs of the demonstration with the Go toolchain of
// the machine.
package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoGo says that the Go toolchain is missing.
var ErrNoGo = errors.New("the Go toolchain is missing: install Go 1.26 from https://go.dev/dl and put its bin folder on the PATH")

// Build compiles a main package, which is named relative to the folder of its module,
// to a static program at output.
func Build(ctx context.Context, module, packagePath, output string) error {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return ErrNoGo
	}
	cmd := exec.CommandContext(ctx, compiler, "build", "-trimpath", "-ldflags=-s -w", "-o", output, packagePath)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var message bytes.Buffer
	cmd.Stderr = &message
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %q: %w:\n%s", packagePath, err, strings.TrimSpace(message.String()))
	}
	return nil
}

// Root returns the folder of the repository: the nearest one above start that holds the
// module github.com/bailiwick-dev/bailiwick.
func Root(start string) (string, error) {
	const line = "module github.com/bailiwick-dev/bailiwick\n"
	folder, err := filepath.Abs(start)
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for {
		content, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil && bytes.Contains(append(content, '\n'), []byte(line)) {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", fmt.Errorf("find repository: no Bailiwick module above %q: run the demonstration inside the repository", start)
		}
		folder = parent
	}
}
