//go:build !linux

package process

import "syscall"

// attributes put the child into a process group of its own, so that Ctrl-C in the
// terminal reaches this process alone and the end has an order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
