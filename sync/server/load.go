package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/server/slots"
)

// LoadLimits bound what accounts, tenants and addresses have the server do, so that
// nobody's load is everybody's. Zero values mean those of DefaultLoadLimits.
type LoadLimits struct {
	// Slots bound how many API requests and uploads are worked on at a time, and say
	// how long others wait for their turn.
	Slots slots.Options
	// AccountRequests and TenantRequests are how many API requests an account and a
	// tenant may send.
	AccountRequests, TenantRequests Rate
	// AccountUploads and TenantUploads are how many octets an account and a tenant may
	// upload.
	AccountUploads, TenantUploads Rate
	// Downloads is how many downloads one account may run at a time.
	Downloads int64
	// StreamsPerConnection is how many requests one HTTP/2 connection may have open.
	StreamsPerConnection int
	// ConnectionsPerAddress is how many connections one client address may have open,
	// with the addresses of an IPv6 network of 64 bits counted as one. Zero means no
	// such limit: behind a load balancer all clients may have the same address.
	ConnectionsPerAddress int
	// RefusalDelay is how long the answer to a request beyond a limit is held back, so
	// that a client that does not wait is made to.
	RefusalDelay time.Duration
}

// DefaultLoadLimits returns the limits that the server starts with.
func DefaultLoadLimits() LoadLimits {
	return LoadLimits{
		AccountRequests:      Rate{PerSecond: 500, Burst: 5000},
		TenantRequests:       Rate{PerSecond: 5000, Burst: 20_000},
		AccountUploads:       Rate{PerSecond: 32 << 20, Burst: 1 << 30},
		TenantUploads:        Rate{PerSecond: 128 << 20, Burst: 8 << 30},
		Downloads:            32,
		StreamsPerConnection: 100,
		RefusalDelay:         250 * time.Millisecond,
	}
}

func (l LoadLimits) withDefaults() LoadLimits {
	d := DefaultLoadLimits()
	l.AccountRequests = cmp.Or(l.AccountRequests, d.AccountRequests)
	l.TenantRequests = cmp.Or(l.TenantRequests, d.TenantRequests)
	l.AccountUploads = cmp.Or(l.AccountUploads, d.AccountUploads)
	l.TenantUploads = cmp.Or(l.TenantUploads, d.TenantUploads)
	l.Downloads = cmp.Or(l.Downloads, d.Downloads)
	l.StreamsPerConnection = cmp.Or(l.StreamsPerConnection, d.StreamsPerConnection)
	l.RefusalDelay = cmp.Or(l.RefusalDelay, d.RefusalDelay)
	return l
}

func (l LoadLimits) check() error {
	return errors.Join(
		l.AccountRequests.check("account requests"), l.TenantRequests.check("tenant requests"),
		l.AccountUploads.check("account uploads"), l.TenantUploads.check("tenant uploads"),
	)
}

// Names of limits beside those of the core capability, in problems and metrics.
const (
	limitRequests    = "maxConcurrentRequests"
	limitUploads     = "maxConcurrentUpload"
	limitDownloads   = "maxConcurrentDownload"
	limitStreams     = "maxStreams"
	limitRequestRate = "requestRate"
	limitUploadRate  = "uploadRate"
	limitConnections = "connectionsPerAddress"
)

// load is what accounts and tenants have the server do.
type load struct {
	slots     *slots.Scheduler
	requests  [2]*buckets // of accounts, and of tenants
	uploads   [2]*buckets
	downloads *limiter
	// delayed are the refusals that are held back.
	delayed *limiter
}

// maxDelayed is how many refusals of one account are held back at a time.
const maxDelayed = 64

func newLoad(l *LoadLimits) *load {
	return &load{
		slots:     slots.New(l.Slots),
		requests:  [2]*buckets{newBuckets(l.AccountRequests), newBuckets(l.TenantRequests)},
		uploads:   [2]*buckets{newBuckets(l.AccountUploads), newBuckets(l.TenantUploads)},
		downloads: newLimiter(l.Downloads),
		delayed:   newLimiter(maxDelayed),
	}
}

// overLimit is a request beyond a limit: of which, when to try again, and why.
type overLimit struct {
	name   string
	again  time.Duration
	detail string
}

// problem is the answer to the request (RFC 8620 §3.6.1).
func (o *overLimit) problem() *jmap.Problem {
	return jmap.NewLimitProblem(http.StatusTooManyRequests, o.name, o.detail)
}

// checkRequests takes one API request out of the rates of a principal.
func (s *Server) checkRequests(p *jmap.Principal) *overLimit {
	return takeFrom(s.load.requests, p, limitRequestRate, "API requests")
}

// checkUploads tells whether a principal may upload now. What it uploads is taken out
// of its rates as it comes, whatever it said before.
func (s *Server) checkUploads(p *jmap.Principal) *overLimit {
	return takeFrom(s.load.uploads, p, limitUploadRate, "octets of uploads")
}

func takeFrom(rates [2]*buckets, p *jmap.Principal, limit, what string) *overLimit {
	now := time.Now()
	for i, key := range []string{p.AccountID, p.Tenant} {
		if wait := rates[i].take(key, now); wait > 0 {
			whose := [...]string{"account", "tenant"}[i]
			return &overLimit{limit, wait, fmt.Sprintf("the %s sends more %s than the server takes: try again after %s", whose, what, retryAfter(wait))}
		}
	}
	return nil
}

// chargeUpload takes octets that came out of the rates of a principal.
func (s *Server) chargeUpload(p *jmap.Principal, octets int) {
	now := time.Now()
	s.load.uploads[0].charge(p.AccountID, octets, now)
	s.load.uploads[1].charge(p.Tenant, octets, now)
}

// begin waits for a slot. When it is refused, an error of the context means that nobody
// waits for the answer any more.
func (s *Server) begin(ctx context.Context, p *jmap.Principal, limit string) (slots.Slot, *overLimit) {
	slot, err := s.load.slots.Acquire(ctx, p.Tenant, p.AccountID)
	if err != nil {
		return slot, &overLimit{limit, time.Second, "the server has too much to do for the tenant now: try again after 1 second"}
	}
	return slot, nil
}

// hold counts a refusal and holds it back for a while. More of them than fit are not
// held back, so that they do not gather here.
func (s *Server) hold(ctx context.Context, account, limit string) {
	s.metrics.limited.WithLabelValues(limit).Inc()
	release, ok := s.load.delayed.acquire(account)
	if !ok {
		return
	}
	defer release()
	timer := time.NewTimer(s.options.Load.RefusalDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.draining:
	}
}

// sendLimit answers a request that exceeds a limit (RFC 8620 §3.6.1).
func (s *Server) sendLimit(w http.ResponseWriter, r *http.Request, p *jmap.Principal, over *overLimit) {
	s.hold(r.Context(), p.AccountID, over.name)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds(over.again), 10))
	sendProblem(w, r, over.problem())
}

// seconds rounds up, as Retry-After has whole seconds (RFC 9110 §10.2.3).
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}

func retryAfter(d time.Duration) string {
	if n := seconds(d); n > 1 {
		return fmt.Sprintf("%d seconds", n)
	}
	return "1 second"
}
