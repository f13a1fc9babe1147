package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// What can be wrong with a database. Each of these is a store.ErrUnavailable too: when it is put right, the engine
// works again by itself.
var (
	// ErrAuthentication says that the server refused the user, the password or the certificate.
	ErrAuthentication = errors.New("the database refused the user: check user and password of the DSN, and pg_hba.conf")
	// ErrUnreachable says that no connection could be made or that it broke, or that the server is starting or
	// stopping.
	ErrUnreachable = errors.New("the database cannot be reached: check that it runs and that the network lets the connection through")
	// ErrVersion says that the server is older than PostgreSQL 15.
	ErrVersion = errors.New("the database is older than PostgreSQL 15: upgrade it")
	// ErrDiskFull says that the server has no space left.
	ErrDiskFull = errors.New("the database's disk is full: give it more space")
	// ErrReadOnly says that the server takes no writes, as a standby does.
	ErrReadOnly = errors.New("the database is read-only: connect to the primary, with target_session_attrs=read-write and every host in the DSN")
)

// failure is an error of the server with its meaning.
type failure struct {
	kind  error
	cause error
}

// Error says what it means and what the server said.
func (f *failure) Error() string { return f.kind.Error() + ": " + f.cause.Error() }

// Unwrap lets errors.Is find the meaning and the cause.
func (f *failure) Unwrap() []error { return []error{f.kind, store.ErrUnavailable, f.cause} }

// SQLSTATE codes and classes (PostgreSQL documentation, appendix A).
const (
	classConnection     = "08"
	classAuthorization  = "28"
	classIntervention   = "57"
	codeNotNull         = "23502"
	codeOutOfRange      = "22003"
	codeReadOnly        = "25006"
	codeSerialization   = "40001"
	codeDeadlock        = "40P01"
	codeDiskFull        = "53100"
	codeTooManyClients  = "53300"
	codeLimitExceeded   = "54000"
	codeLockTimeout     = "55P03"
	codeQueryCanceled   = "57014"
	codeUnknownDatabase = "3D000"
)

// classify gives an error its meaning. An error of a context that ended stays what it is.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyCode(pgErr.Code, err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if unreachable(err) {
		return &failure{kind: ErrUnreachable, cause: err}
	}
	return err
}

// classify gives an error of the engine its meaning; whatever fails once it is closed failed for that.
func (e *Engine) classify(err error) error {
	if err != nil && e.closed.Load() {
		return store.ErrClosed
	}
	return classify(err)
}

func classifyCode(code string, err error) error {
	switch code {
	case codeDiskFull:
		return &failure{kind: ErrDiskFull, cause: err}
	case codeReadOnly:
		return &failure{kind: ErrReadOnly, cause: err}
	case codeNotNull, codeOutOfRange:
		return fmt.Errorf("add: %w: not a counter: %w", store.ErrInvalid, err)
	case codeLimitExceeded:
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	case codeLockTimeout, codeQueryCanceled, codeSerialization, codeDeadlock:
		return fmt.Errorf("%w: the database is busy: %w", store.ErrUnavailable, err)
	case codeTooManyClients, codeUnknownDatabase:
		return &failure{kind: ErrUnreachable, cause: err}
	}
	switch code[:min(2, len(code))] {
	case classAuthorization:
		return &failure{kind: ErrAuthentication, cause: err}
	case classConnection, classIntervention:
		return &failure{kind: ErrUnreachable, cause: err}
	default:
		return err
	}
}

// unreachable says whether an error is of the connection.
func unreachable(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "conn closed")
}

// retryable says whether the server chose a transaction to give way to others.
func retryable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == codeSerialization || pgErr.Code == codeDeadlock)
}

// meanings are what a failure can mean, for those who may know that and no more.
var meanings = []error{ErrAuthentication, ErrUnreachable, ErrVersion, ErrDiskFull, ErrReadOnly}

// meaning returns what an error means without what the server said, which may name hosts and users.
func meaning(err error) error {
	for _, kind := range meanings {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return store.ErrUnavailable
}
