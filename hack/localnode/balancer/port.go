package balancer

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// choosePortLate has the port of a connection chosen when the pod is known and not when the address is bound, so that
// ports are not used up over all pods together.
func choosePortLate(_, _ string, raw syscall.RawConn) error {
	var failure error
	if err := raw.Control(func(descriptor uintptr) {
		failure = unix.SetsockoptInt(int(descriptor), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); err != nil {
		return err
	}
	return failure
}
