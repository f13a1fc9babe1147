package controlplane

import "syscall"

// reusePort is SO_REUSEPORT, which package syscall does not name on all Linux
// machines.
const reusePort = 0xf

// componentAttributes puts a component into a process group of its own, so that
// Ctrl-C reaches the starter alone, which stops the components in order, and has
// the kernel kill it when the starter dies.
func componentAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
