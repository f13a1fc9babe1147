package postgrestest

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the server of a test binary.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Shared returns the server that the tests of a package share, and starts it for the first of them. The package
// runs its tests with Main.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.once.Do(func() { shared.server, shared.err = Start() })
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

// Main runs the tests of a package and stops the server that they shared. Runner is a *testing.M, or what else runs
// tests.
type Main struct {
	// Runner runs the tests.
	Runner interface{ Run() int }
}

// Run runs the tests and returns their exit code.
func (m Main) Run() int {
	code := m.Runner.Run()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Stop(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
