package process

import "syscall"

// attributes put the child into a process group of its own, so that Ctrl-C in the
// terminal reaches this process alone and the end has an order, and have the kernel end
// it when this process dies without a word.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
