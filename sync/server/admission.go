package server

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"sync"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// admit asks the gate who a request acts for and makes that mailbox complete. When
// it returns false, the answer has been sent.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (*jmap.Principal, bool) {
	p, refusal := s.options.Gate.Admit(r)
	if refusal != nil {
		s.refuse(w, r, refusal)
		return nil, false
	}
	err := s.provision(r.Context(), p)
	visiting := p
	if err == nil {
		visiting, err = s.withShares(r.Context(), p)
	}
	if errors.Is(err, jmap.ErrForeignAccount) {
		s.logger.WarnContext(r.Context(), "request refused", slog.String("reason", "mailbox of another tenant"), slog.String("tenant", p.Tenant), slog.String("account", p.AccountID))
		sendProblem(w, r, jmap.NewProblem(http.StatusForbidden, "the mailbox belongs to another tenant than the address: have the administrator move the mailbox, or restore the address"))
		return nil, false
	}
	if err != nil {
		s.unavailable(w, r, "mailbox could not be made complete", err, slog.String("tenant", p.Tenant))
		return nil, false
	}
	return visiting, true
}

// unavailable answers a request that may succeed later, and logs why it does not now.
func (s *Server) unavailable(w http.ResponseWriter, r *http.Request, what string, err error, attrs ...any) {
	s.logger.ErrorContext(r.Context(), what, append(attrs, slog.Any("error", err))...)
	w.Header().Set("Retry-After", "5")
	sendProblem(w, r, jmap.NewProblem(http.StatusServiceUnavailable, "the mailbox is not available now, try again later"))
}

// refuse answers for the gate. A mailbox in another region is told of with 307 for
// the session resource, which a client can follow, and with 421 elsewhere, because
// the URLs of another region are in that region's session object.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, refusal *jmap.Refusal) {
	maps.Copy(w.Header(), refusal.Header)
	problem := refusal.Problem
	problem.Status = cmp.Or(refusal.Status, http.StatusForbidden)
	if refusal.HomeURL != "" {
		problem.Status = http.StatusMisdirectedRequest
		if isSessionPath(r.URL.Path) {
			problem.Status = http.StatusTemporaryRedirect
			w.Header().Set("Location", refusal.HomeURL+r.URL.Path)
		}
	}
	sendProblem(w, r, &problem)
}

func isSessionPath(path string) bool {
	return path == jmap.PathSession || path == jmap.PathWellKnown
}

// limiter bounds how many things an account does at a time.
type limiter struct {
	most int64

	mu      sync.Mutex
	running map[string]int64
}

func newLimiter(most int64) *limiter {
	return &limiter{most: most, running: map[string]int64{}}
}

// acquire takes a place, which release gives back, or reports false when there is
// none left.
func (l *limiter) acquire(account string) (release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[account] >= l.most {
		return nil, false
	}
	l.running[account]++
	return func() { l.release(account) }, true
}

func (l *limiter) release(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[account]--; l.running[account] <= 0 {
		delete(l.running, account)
	}
}
