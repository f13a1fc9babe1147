package jmap

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Options are what a Service is made of.
type Options struct {
	// BaseURL is the https URL of the server without a path.
	BaseURL string
	// Limits are the limits that are advertised and enforced.
	Limits Limits
	// Blobs serves Blob/copy.
	Blobs Blobs
	// Shares restricts blobs to what is shared; nil when nothing is.
	Shares Shares
	// Capabilities are offered beside JMAP Core.
	Capabilities []Capability
	// CoreMethods are methods of JMAP Core beside those that the service has itself.
	CoreMethods map[string]Method
	// Logger receives internal errors of methods; nil discards them.
	Logger *slog.Logger
	// Observe is told of each method call: its name ("unknown" for one that the
	// server does not have), the type of its error or "ok", and how long it took;
	// nil when nobody asks.
	Observe func(method, outcome string, took time.Duration)
}

// Service answers JMAP API requests. It is safe for concurrent use.
type Service struct {
	baseURL             string
	limits              Limits
	methods             map[string]registeredMethod
	sessionCapabilities map[string]any
	accountCapabilities []Capability
	// fixed is the hash of what all session objects have in common, but for the changing capabilities.
	fixed    [sha256.Size]byte
	changing []json.Marshaler

	logger  *slog.Logger
	observe func(method, outcome string, took time.Duration)
}

type registeredMethod struct {
	capability string
	partial    bool
	run        Method
}

// NewService makes a service. It refuses capabilities that are offered twice, that
// offer each other's methods, or whose values cannot be encoded.
func NewService(o Options) (*Service, error) {
	s := &Service{
		baseURL:             o.BaseURL,
		limits:              o.Limits,
		methods:             map[string]registeredMethod{},
		sessionCapabilities: map[string]any{},
		logger:              o.Logger,
		observe:             o.Observe,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.observe == nil {
		s.observe = func(string, string, time.Duration) {}
	}
	core := coreCapability(&s.limits, blobsOf(&o))
	maps.Copy(core.Methods, o.CoreMethods)
	for _, c := range append([]Capability{core}, o.Capabilities...) {
		if err := s.register(c); err != nil {
			return nil, fmt.Errorf("capability %q: %w", c.URI, err)
		}
	}
	return s, s.fix()
}

func (s *Service) register(c Capability) error {
	twice := slices.ContainsFunc(s.accountCapabilities, func(other Capability) bool { return other.URI == c.URI })
	if _, also := s.sessionCapabilities[c.URI]; also || twice || c.URI == "" {
		return errors.New("offered twice or without a URI")
	}
	if !c.AccountOnly {
		s.sessionCapabilities[c.URI] = orEmptyObject(c.Session)
	}
	if !c.SessionOnly {
		s.accountCapabilities = append(s.accountCapabilities, c)
	}
	if _, err := json.Marshal([]any{c.Session, c.Account}); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	for name, method := range c.Methods {
		if other, twice := s.methods[name]; twice {
			return fmt.Errorf("method %q belongs to %q already", name, other.capability)
		}
		s.methods[name] = registeredMethod{capability: c.URI, partial: c.Partial, run: method}
	}
	return nil
}

func orEmptyObject(value any) any {
	if value == nil {
		return struct{}{}
	}
	return value
}

// blobsOf returns the blobs as far as a principal may use them.
func blobsOf(o *Options) func(p *Principal) Blobs {
	if o.Shares != nil {
		return o.Shares.BlobsFor
	}
	return func(*Principal) Blobs { return o.Blobs }
}
