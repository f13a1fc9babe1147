// Package peer puts the mail servers on the machine that Bailiwick is measured beside:
// Cyrus and Dovecot, as Debian 12 packages them.
package peer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// rootVariable names the folder of Dovecot to the benchmarks.
const rootVariable = "BENCH_DOVECOT"

// Packages of Debian: those that are installed, Cyrus with a mail transport agent that it
// asks for and a library of Dovecot's, and those of Dovecot, which conflict with them and
// are only unpacked.
var (
	installed = []string{"cyrus-imapd", "cyrus-caldav", "cyrus-admin", "nullmailer", "libunwind8"}
	unpacked  = []string{"dovecot-core", "dovecot-imapd"}
)

// Installer installs the peers unless they are there.
type Installer struct {
	// Cyrus is a program that is there when Cyrus is.
	Cyrus string
	// Folder is where Dovecot is unpacked.
	Folder string
	// Root tells that the process may install packages; otherwise sudo has to.
	Root bool
	// Run runs a program in a folder.
	Run func(ctx context.Context, folder, name string, args ...string) error
}

// New returns an installer for this machine. What the programs print goes to out.
func New(out io.Writer) (*Installer, error) {
	root := os.Geteuid() == 0
	cache := "/var/cache" // of root's own folders the user of Dovecot reaches none
	if !root {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			return nil, fmt.Errorf("find the folder for Dovecot: %w", err)
		}
	}
	return &Installer{
		Cyrus: "/usr/lib/cyrus/bin/master", Folder: filepath.Join(cache, "bailiwick", "dovecot"), Root: root,
		Run: func(ctx context.Context, folder, name string, args ...string) error {
			return run(ctx, out, folder, name, args)
		},
	}, nil
}

// Install installs what is missing and returns the environment by which the benchmarks
// find it.
func (i *Installer) Install(ctx context.Context) (environment []string, err error) {
	if err := i.install(ctx); err != nil {
		return nil, fmt.Errorf("install the peers: %w: the figures beside peers need Debian 12 and the right to install packages", err)
	}
	if os.Getenv(rootVariable) != "" {
		return nil, nil
	}
	if err := i.unpack(ctx); err != nil {
		return nil, fmt.Errorf("unpack Dovecot: %w: the figures beside peers need Debian 12", err)
	}
	return []string{rootVariable + "=" + filepath.Join(i.Folder, "root")}, nil
}

func (i *Installer) install(ctx context.Context) error {
	if _, err := os.Stat(i.Cyrus); err == nil {
		return nil
	}
	if err := i.privileged(ctx, "apt-get", "update"); err != nil {
		return err
	}
	return i.privileged(ctx, "env", append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"}, installed...)...)
}

func (i *Installer) privileged(ctx context.Context, name string, args ...string) error {
	if i.Root {
		return i.Run(ctx, "", name, args...)
	}
	return i.Run(ctx, "", "sudo", append([]string{"--non-interactive", name}, args...)...)
}

// unpack unpacks Dovecot beside where it is to be, and moves it there when it is whole.
func (i *Installer) unpack(ctx context.Context) error {
	root := filepath.Join(i.Folder, "root")
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	if err := os.MkdirAll(i.Folder, 0o755); err != nil { //nolint:gosec // the user of Dovecot has to reach it
		return err
	}
	part, err := os.MkdirTemp(i.Folder, "part-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(part) }()
	if err := os.Chmod(part, 0o755); err != nil { //nolint:gosec // the user of Dovecot has to reach it
		return err
	}
	if err := i.Run(ctx, part, "apt-get", append([]string{"download"}, unpacked...)...); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(part, "*.deb"))
	if err != nil {
		return err
	}
	whole := filepath.Join(part, "root")
	for _, archive := range archives {
		if err := i.Run(ctx, part, "dpkg", "-x", archive, whole); err != nil {
			return err
		}
	}
	return os.Rename(whole, root)
}

func run(ctx context.Context, out io.Writer, folder, name string, args []string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	var message bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, io.MultiWriter(out, &message)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(message.String()))
	}
	return nil
}
