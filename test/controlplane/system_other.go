//go:build !linux

package controlplane

import "syscall"

const reusePort = syscall.SO_REUSEPORT

// componentAttributes puts a component into a process group of its own, so that
// Ctrl-C reaches the starter alone, which stops the components in order.
func componentAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
