package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// streamQuery holds the variables of an event source URL (RFC 8620 §7.3).
type streamQuery struct {
	types      typeSet
	closeAfter bool
	// ping is zero when the client wants none.
	ping time.Duration
}

// typeSet is a set of type names; nil means all types.
type typeSet map[string]bool

// parseStreamQuery reads the variables and clamps the ping interval.
func (s *Server) parseStreamQuery(r *http.Request) (streamQuery, *jmap.Problem) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return streamQuery{}, jmap.NewProblem(http.StatusBadRequest, "the query of the URL is malformed")
	}
	q := streamQuery{}
	switch types := values.Get("types"); types {
	case "":
		return q, jmap.NewProblem(http.StatusBadRequest, `types: missing, give "*" or type names with commas between them`)
	case "*":
	default:
		q.types = typeSet{}
		for name := range strings.SplitSeq(types, ",") {
			q.types[name] = true
		}
	}
	switch values.Get("closeafter") {
	case "state":
		q.closeAfter = true
	case "no":
	default:
		return q, jmap.NewProblem(http.StatusBadRequest, `closeafter: give "state" or "no"`)
	}
	seconds, err := strconv.ParseUint(values.Get("ping"), 10, 31)
	if err != nil {
		return q, jmap.NewProblem(http.StatusBadRequest, "ping: give a number of seconds, 0 for none")
	}
	if seconds > 0 {
		limits := s.options.Push
		q.ping = min(max(time.Duration(seconds)*time.Second, limits.MinPing), limits.MaxPing)
	}
	return q, nil
}

// filter keeps the types of the set, and the accounts that have any.
func (t typeSet) filter(states accountStates) accountStates {
	if t == nil {
		return states
	}
	kept := accountStates{}
	for account, types := range states {
		for name, state := range types {
			if !t[name] {
				continue
			}
			if kept[account] == nil {
				kept[account] = map[string]string{}
			}
			kept[account][name] = state
		}
	}
	return kept
}

// interval is a timer that starts again on demand; a zero length never elapses.
type interval struct {
	length time.Duration
	timer  *time.Timer
}

func newInterval(length time.Duration) *interval {
	i := &interval{length: length}
	if length > 0 {
		i.timer = time.NewTimer(length)
	}
	return i
}

func (i *interval) elapsed() <-chan time.Time {
	if i.timer == nil {
		return nil
	}
	return i.timer.C
}

func (i *interval) restart() {
	if i.timer != nil {
		i.timer.Reset(i.length)
	}
}

func (i *interval) stop() {
	if i.timer != nil {
		i.timer.Stop()
	}
}
