package server

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// PathMetadata is where the protected-resource metadata is found (RFC 9728 §3).
const PathMetadata = "/.well-known/oauth-protected-resource"

// protectedResource is the metadata of this server as an OAuth resource (RFC 9728 §2).
type protectedResource struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	ResourceName         string   `json:"resource_name"`
}

// serveMetadata tells a client without a token where to get one (RFC 9728 §3).
func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	metadata := protectedResource{
		Resource:      s.options.BaseURL,
		BearerMethods: []string{"header"},
		ResourceName:  "Bailiwick mail sync",
	}
	if s.options.AuthorizationServers != nil {
		issuers := slices.Sorted(slices.Values(s.options.AuthorizationServers()))
		metadata.AuthorizationServers = slices.Compact(issuers)
	}
	sendJSON(w, r, metadata)
}

// serveHealth tells that the process serves.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	send(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
}

// serveReadiness tells whether requests can be answered, and what is missing when
// they cannot.
func (s *Server) serveReadiness(w http.ResponseWriter, r *http.Request) {
	failed := map[string]any{}
	for _, check := range s.checks() {
		if err := check.Ready(r.Context()); err != nil {
			failed[check.Name] = err.Error()
		}
	}
	if len(failed) > 0 {
		problem := jmap.NewProblem(http.StatusServiceUnavailable, "not ready")
		problem.Fields = map[string]any{"checks": failed}
		sendProblem(w, r, problem)
		return
	}
	s.serveHealth(w, r)
}

func (s *Server) checks() []Check {
	own := []Check{{Name: "serving", Ready: s.checkServing}}
	if s.options.Certificates != nil {
		own = append(own, Check{Name: "certificate", Ready: s.options.Certificates.Ready})
	}
	return append(own, s.options.Checks...)
}

func (s *Server) checkServing(context.Context) error {
	if s.unready.Load() {
		return errors.New("shutting down")
	}
	return nil
}
