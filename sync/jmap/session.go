package jmap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
)

// Paths of the resources below the base URL of a server.
const (
	PathWellKnown   = "/.well-known/jmap"
	PathSession     = "/jmap/session"
	PathAPI         = "/jmap/api"
	PathUpload      = "/jmap/upload/"
	PathDownload    = "/jmap/download/"
	PathEventSource = "/jmap/eventsource"
	PathWebSocket   = "/jmap/ws"
)

// Session is the session object (RFC 8620 §2).
type Session struct {
	Capabilities    map[string]any            `json:"capabilities"`
	Accounts        map[string]SessionAccount `json:"accounts"`
	PrimaryAccounts map[string]string         `json:"primaryAccounts"`
	Username        string                    `json:"username"`
	APIURL          string                    `json:"apiUrl"`
	DownloadURL     string                    `json:"downloadUrl"`
	UploadURL       string                    `json:"uploadUrl"`
	EventSourceURL  string                    `json:"eventSourceUrl"`
	// State changes when any other member does.
	State string `json:"state"`
}

// SessionAccount is an account in the session object (RFC 8620 §2).
type SessionAccount struct {
	Name                string         `json:"name"`
	IsPersonal          bool           `json:"isPersonal"`
	IsReadOnly          bool           `json:"isReadOnly"`
	AccountCapabilities map[string]any `json:"accountCapabilities"`
}

// Session returns the session object of a principal.
func (s *Service) Session(p *Principal) (*Session, error) {
	capabilities := s.capabilitiesFor(p)
	session := &Session{
		Capabilities:    s.sessionCapabilities,
		Accounts:        map[string]SessionAccount{p.AccountID: {Name: p.Address, IsPersonal: true, AccountCapabilities: capabilities}},
		PrimaryAccounts: map[string]string{},
		Username:        p.Address,
		APIURL:          s.baseURL + PathAPI,
		DownloadURL:     s.baseURL + PathDownload + "{accountId}/{blobId}/{name}?type={type}",
		UploadURL:       s.baseURL + PathUpload + "{accountId}/",
		EventSourceURL:  s.baseURL + PathEventSource + "?types={types}&closeafter={closeafter}&ping={ping}",
	}
	for _, shared := range p.Shared {
		session.Accounts[shared.AccountID] = SessionAccount{Name: shared.Name, IsReadOnly: shared.ReadOnly, AccountCapabilities: capabilities}
	}
	for uri := range capabilities {
		if uri != CoreCapability {
			session.PrimaryAccounts[uri] = p.AccountID
		}
	}
	raw, err := json.Marshal(session)
	if err != nil {
		return nil, fmt.Errorf("encode session: %w", err)
	}
	sum := sha256.Sum256(raw)
	session.State = hex.EncodeToString(sum[:8])
	return session, nil
}

// capabilitiesFor are the capabilities that the accounts of a principal have.
func (s *Service) capabilitiesFor(p *Principal) map[string]any {
	capabilities := maps.Clone(s.accountCapabilities)
	for uri, has := range s.optional {
		if !has(p) {
			delete(capabilities, uri)
		}
	}
	return capabilities
}
