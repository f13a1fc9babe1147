package postgrestest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// folderPrefix begins the name of each folder, before the number of the process that made it.
const folderPrefix = "bailiwick-postgres-"

// minimumVersion is the oldest PostgreSQL that the store works with.
const minimumVersion = 15

// binaries finds the folder of initdb and postgres: the newest that Debian installed, or that of PATH.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", fmt.Errorf("postgrestest: %w", err)
	}
	slices.SortFunc(found, func(a, b string) int { return debianVersion(b) - debianVersion(a) })
	if len(found) > 0 && debianVersion(found[0]) >= minimumVersion {
		return filepath.Dir(found[0]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", fmt.Errorf("postgrestest: initdb of PostgreSQL %d or newer is neither in /usr/lib/postgresql nor on PATH: install Debian's package postgresql", minimumVersion)
}

func debianVersion(path string) int {
	version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return version
}

// unprivileged returns how to run a process as a user who is not root, to whom it gives the folder. PostgreSQL
// refuses to run as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("postgrestest: root cannot run PostgreSQL: %w", err)
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, fmt.Errorf("postgrestest: %w", err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// sweep removes the folders of processes that were killed before they could.
func sweep(root string) {
	left, _ := filepath.Glob(filepath.Join(root, folderPrefix+"*"))
	for _, dir := range left {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		pid, err := strconv.Atoi(number)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return 0, fmt.Errorf("postgrestest: %w", err)
	}
	defer listener.Close() //nolint:errcheck // nothing was sent
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("postgrestest: address %v", listener.Addr())
	}
	return address.Port, nil
}
