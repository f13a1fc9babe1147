package jmap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	session := &Session{
		Capabilities:    s.sessionCapabilities,
		Accounts:        map[string]SessionAccount{p.AccountID: s.account(p, p.AccountID)},
		PrimaryAccounts: map[string]string{},
		Username:        p.Address,
		APIURL:          s.baseURL + PathAPI,
		DownloadURL:     s.baseURL + PathDownload + "{accountId}/{blobId}/{name}?type={type}",
		UploadURL:       s.baseURL + PathUpload + "{accountId}/",
		EventSourceURL:  s.baseURL + PathEventSource + "?types={types}&closeafter={closeafter}&ping={ping}",
	}
	for _, shared := range p.Shared {
		if !shared.Unsubscribed {
			session.Accounts[shared.AccountID] = s.account(p, shared.AccountID)
		}
	}
	for i := range s.accountCapabilities {
		if c := &s.accountCapabilities[i]; c.URI != CoreCapability && !c.AccountOnly && (c.For == nil || c.For(p)) {
			session.PrimaryAccounts[c.URI] = p.AccountID
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

// account returns an account that a principal may use.
func (s *Service) account(p *Principal, id string) SessionAccount {
	out := SessionAccount{Name: p.Address, IsPersonal: true, AccountCapabilities: make(map[string]any, len(s.accountCapabilities))}
	partial := false
	if id != p.AccountID {
		shared := p.shared(id)
		partial = shared.Partial
		out.Name, out.IsPersonal, out.IsReadOnly = shared.Name, false, shared.ReadOnly
	}
	for i := range s.accountCapabilities {
		c := &s.accountCapabilities[i]
		if (partial && !c.Partial) || (c.For != nil && !c.For(p)) {
			continue
		}
		value := orEmptyObject(c.Account)
		if c.Of != nil {
			value = c.Of(p, id)
		}
		if value != nil {
			out.AccountCapabilities[c.URI] = value
		}
	}
	return out
}
