package controlplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// port is a free TCP port that stays reserved: the socket is bound with
// SO_REUSEPORT and never listens, so the kernel gives the port to nobody else
// but to a component of the same user that asks for the very number. Planes that
// start at the same time cannot take each other's ports.
type port struct {
	number int
	socket int
}

// reservePort reserves a free port of the address.
func reservePort(address net.IP) (port, error) {
	// As package net does it where a socket cannot be born with close-on-exec.
	syscall.ForkLock.RLock()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(socket)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return port{}, os.NewSyscallError("socket", err)
	}
	number, err := bindAny(socket, address)
	if err != nil {
		return port{}, errors.Join(fmt.Errorf("reserve a port of %s: %w", address, err), syscall.Close(socket))
	}
	return port{number, socket}, nil
}

func bindAny(socket int, address net.IP) (int, error) {
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, reusePort, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte(address.To4())}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	inet, ok := bound.(*syscall.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("the socket has an address of type %T", bound)
	}
	return inet.Port, nil
}

// release gives the port back.
func (p port) release() error { return os.NewSyscallError("close", syscall.Close(p.socket)) }
