// Package process starts, signals and buries the processes of containers. No process outlives the node: the kernel
// kills them with it, and what it could not kill is killed when the next node starts.
package process

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
)

// ErrClosed says that the spawner starts nothing any more.
var ErrClosed = errors.New("the node is stopping")

// Spawner starts all processes from one thread that lives as long as the spawner. The kernel sends a parent's death
// signal when the thread that started a process ends, so a thread of Go's pool would not do.
type Spawner struct {
	requests chan request
	closing  chan struct{}
	once     sync.Once
	ended    chan struct{}
}

type request struct {
	cmd    *exec.Cmd
	answer chan error
}

// NewSpawner starts the thread. Close ends it.
func NewSpawner() *Spawner {
	s := &Spawner{requests: make(chan request), closing: make(chan struct{}), ended: make(chan struct{})}
	go s.run()
	return s
}

// Start starts a command. The error is that of exec.Cmd.Start, or ErrClosed.
func (s *Spawner) Start(cmd *exec.Cmd) error {
	answer := make(chan error, 1)
	select {
	case s.requests <- request{cmd: cmd, answer: answer}:
		return <-answer
	case <-s.closing:
		return ErrClosed
	}
}

// Close ends the thread, at which the kernel kills every process that still runs.
func (s *Spawner) Close() {
	s.once.Do(func() { close(s.closing) })
	<-s.ended
}

func (s *Spawner) run() {
	defer close(s.ended)
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for {
		select {
		case r := <-s.requests:
			r.answer <- r.cmd.Start()
		case <-s.closing:
			return
		}
	}
}
