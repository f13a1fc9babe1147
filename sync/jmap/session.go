package jmap

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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
		Accounts:        map[string]SessionAccount{},
		PrimaryAccounts: map[string]string{},
		Username:        p.Address,
		APIURL:          s.baseURL + PathAPI,
		DownloadURL:     s.baseURL + PathDownload + "{accountId}/{blobId}/{name}?type={type}",
		UploadURL:       s.baseURL + PathUpload + "{accountId}/",
		EventSourceURL:  s.baseURL + PathEventSource + "?types={types}&closeafter={closeafter}&ping={ping}",
	}
	for _, id := range p.Visible() {
		session.Accounts[id] = s.account(p, id)
	}
	for i := range s.accountCapabilities {
		if c := &s.accountCapabilities[i]; c.URI != CoreCapability && !c.AccountOnly && (c.For == nil || c.For(p)) {
			session.PrimaryAccounts[c.URI] = p.AccountID
		}
	}
	state, err := s.sessionState(p)
	session.State = state
	return session, err
}

// sessionState returns the state of the session object of a principal: a hash of what the object is made of. It goes
// with every response (RFC 8620 §3.4), so it is found without making the object.
func (s *Service) sessionState(p *Principal) (string, error) {
	raw := append(make([]byte, 0, 1024), s.fixed[:]...)
	raw = appendText(raw, p.Address)
	var err error
	for _, value := range s.changing {
		encoded, err := value.MarshalJSON()
		if err != nil {
			return "", fmt.Errorf("encode session: %w", err)
		}
		raw = appendText(raw, string(encoded))
	}
	accounts := p.Visible()
	slices.Sort(accounts[1:])
	for _, id := range accounts {
		if raw, err = s.appendAccount(raw, p, id); err != nil {
			return "", err
		}
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8]), nil
}

// appendAccount appends what tells an account of a principal from others.
func (s *Service) appendAccount(raw []byte, p *Principal, id string) (out []byte, err error) {
	account := s.bare(p, id)
	out = appendText(appendText(raw, id), account.Name)
	out = append(out, flag(account.IsPersonal), flag(account.IsReadOnly))
	for i := range s.accountCapabilities {
		c := &s.accountCapabilities[i]
		value := c.value(p, id)
		out = append(out, flag(value != nil))
		if value == nil || c.Of == nil {
			continue
		}
		if out, err = appendEncoded(out, value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendText appends a string so that no two lists of strings come out the same.
func appendText(raw []byte, text string) []byte {
	return append(binary.AppendUvarint(raw, uint64(len(text))), text...)
}

func appendEncoded(raw []byte, value any) ([]byte, error) {
	raw, err := appendValue(raw, value)
	if err != nil {
		return nil, fmt.Errorf("encode session: %w", err)
	}
	return append(raw, 0), nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// fix takes the hash of all that session objects have in common, which the capabilities that are encoded by a method of
// their own may change while the server runs.
func (s *Service) fix() error {
	common := map[string]any{"": s.baseURL}
	for _, uri := range slices.Sorted(maps.Keys(s.sessionCapabilities)) {
		value := s.sessionCapabilities[uri]
		if changing, ok := value.(json.Marshaler); ok {
			s.changing = append(s.changing, changing)
			continue
		}
		common[uri] = value
	}
	account := make([]any, len(s.accountCapabilities))
	for i := range s.accountCapabilities {
		c := &s.accountCapabilities[i]
		account[i] = []any{c.URI, c.Account, c.AccountOnly}
	}
	raw, err := json.Marshal([]any{common, account})
	if err != nil {
		return fmt.Errorf("encode session: %w", err)
	}
	s.fixed = sha256.Sum256(raw)
	return nil
}

// account returns an account that a principal may use.
func (s *Service) account(p *Principal, id string) SessionAccount {
	out := s.bare(p, id)
	out.AccountCapabilities = make(map[string]any, len(s.accountCapabilities))
	for i := range s.accountCapabilities {
		c := &s.accountCapabilities[i]
		if value := c.value(p, id); value != nil {
			out.AccountCapabilities[c.URI] = value
		}
	}
	return out
}

// bare returns an account without its capabilities.
func (s *Service) bare(p *Principal, id string) SessionAccount {
	if id == p.AccountID {
		return SessionAccount{Name: p.Address, IsPersonal: true}
	}
	shared := p.shared(id)
	return SessionAccount{Name: shared.Name, IsReadOnly: shared.ReadOnly}
}

// value is that of a capability for an account of a principal, or nil when the account does not have it.
func (c *Capability) value(p *Principal, id string) any {
	switch {
	case p.Partial(id) && !c.Partial, c.For != nil && !c.For(p):
		return nil
	case c.Of != nil:
		return c.Of(p, id)
	default:
		return orEmptyObject(c.Account)
	}
}
