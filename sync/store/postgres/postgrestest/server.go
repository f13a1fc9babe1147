// Package postgrestest runs a real PostgreSQL for tests: in a temporary folder, as an unprivileged user, on a Unix
// socket and a loopback port. It ends with the process that started it, however that ends.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout bounds the wait for a server to answer.
const startTimeout = 2 * time.Minute

// Server is a running PostgreSQL.
type Server struct {
	// Dir is its folder, in which the socket lies.
	Dir string
	// Port is the number of its socket and of its port on 127.0.0.1.
	Port int

	bin      string
	user     *syscall.SysProcAttr
	settings []string
	made     atomic.Int64

	mu     sync.Mutex
	pid    int
	exited chan struct{}
}

// Start makes a database cluster and runs it. Settings are those of postgresql.conf, as "name=value". Data is not
// synced to disk unless a setting says so: no test pulls the plug of the machine.
func Start(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	sweep(os.TempDir())
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("postgrestest: %w", err)
	}
	s := &Server{Dir: dir, bin: bin, settings: append([]string{
		"fsync=off", "max_connections=200", "shared_buffers=64MB", "log_min_messages=warning", "deadlock_timeout=50ms",
	}, settings...)}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Run(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// prepare gives the folder to a user who may run PostgreSQL, and fills it. Over the socket everybody is trusted,
// over TCP a password is asked for.
func (s *Server) prepare() error {
	var err error
	if s.user, err = unprivileged(s.Dir); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username=bailiwick", //nolint:noctx,gosec // its own program, bounded by its own work
		"--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	cmd.SysProcAttr, cmd.Dir = s.user, s.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("postgrestest: initdb: %w: %s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// Run starts the server and returns when it answers. It is for a server that was killed; Start calls it itself. A port
// may be taken meanwhile, and processes of a server that was killed hold its memory until they are gone.
func (s *Server) Run() error {
	const (
		attempts = 50
		pause    = 200 * time.Millisecond
	)
	var err error
	for attempt := range attempts {
		if attempt > 0 {
			time.Sleep(pause)
		}
		if s.Port == 0 {
			if s.Port, err = freePort(); err != nil {
				return err
			}
		}
		if err = s.launch(); err == nil {
			if err = s.await(); err == nil {
				return nil
			}
		}
		s.Kill()
	}
	log, _ := os.ReadFile(s.log())
	return fmt.Errorf("postgrestest: %w: %s", err, log)
}

func (s *Server) log() string { return filepath.Join(s.Dir, "log") }

// launch starts the process from a thread that lives as long as it does: the signal that tells it of the death of
// its parent is sent when the thread ends.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	args := []string{"-D", s.data(), "-k", s.Dir, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...) //nolint:noctx,gosec // its own program, which outlives every test
	attr := *s.user
	attr.Pdeathsig, attr.Setpgid = syscall.SIGQUIT, true
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = &attr, s.Dir, log, log
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		_ = log.Close()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("postgrestest: start: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.exited = cmd.Process.Pid, exited
	return nil
}

// await returns when the server answers, or an error when it ended or takes too long.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			return errors.New("server ended at its start")
		case <-ctx.Done():
			return fmt.Errorf("server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// DSN returns how to reach a database over the socket.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("host=%s port=%d user=bailiwick dbname=%s", s.Dir, s.Port, database)
}

// Database makes an empty database for a test, which is dropped after it, and returns its DSN.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := "test" + strconv.FormatInt(s.made.Add(1), 10)
	s.Exec(tb, "postgres", "CREATE DATABASE "+name)
	tb.Cleanup(func() { s.Exec(tb, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.DSN(name)
}

// Exec runs a statement in a database as its superuser.
func (s *Server) Exec(tb testing.TB, database, statement string) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	conn, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		tb.Fatalf("postgrestest: %v", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing depends on it
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Fatalf("postgrestest: %s: %v", statement, err)
	}
}

// Program returns the path of a program that comes with the server.
func (s *Server) Program(name string) string { return filepath.Join(s.bin, name) }

// Kill ends the server and all its processes without a warning, as SIGKILL does. Run starts it again.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid == 0 {
		return
	}
	// The postmaster is stopped first, so that it starts no process while the others are counted.
	_ = syscall.Kill(s.pid, syscall.SIGSTOP)
	for _, child := range children(s.pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(s.pid, syscall.SIGKILL)
	<-s.exited
	s.pid = 0
}

// Stop ends the server at once and removes its folder.
func (s *Server) Stop() error {
	s.mu.Lock()
	if s.pid != 0 {
		_ = syscall.Kill(s.pid, syscall.SIGQUIT)
		<-s.exited
		s.pid = 0
	}
	s.mu.Unlock()
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	return nil
}

// children lists the processes that a process started.
func children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		list, _ := os.ReadFile(task)
		for word := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(word); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}
