package jmap

import (
	"encoding/json"
	"testing"
)

// movingKey is the value of a capability that changes while the server runs.
type movingKey struct{ key *string }

func (k movingKey) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"key": *k.key})
}

// TestSessionStateIsTheSameOnlyForTheSameSession holds the state, which is found without the object, against the object.
func TestSessionStateIsTheSameOnlyForTheSameSession(t *testing.T) {
	t.Parallel()
	key, signs := "first", true
	s, err := NewService(Options{BaseURL: "https://mail.example", Limits: DefaultLimits(), Capabilities: []Capability{
		{URI: "urn:x:push", Session: movingKey{&key}, SessionOnly: true},
		{URI: "urn:x:signed", For: func(*Principal) bool { return signs }},
		{URI: "urn:x:owner", AccountOnly: true, Partial: true, Of: func(p *Principal, account string) any {
			if account == "A9" {
				return nil
			}
			return map[string]string{"owner": p.Name}
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for name, change := range map[string]func(p *Principal){
		"as it was":            func(*Principal) {},
		"another address":      func(p *Principal) { p.Address = "ada@other.example" },
		"a value of its own":   func(p *Principal) { p.Name = "Countess" },
		"another account":      func(p *Principal) { p.AccountID = "A9" },
		"nothing shared":       func(p *Principal) { p.Shared = nil },
		"more shared":          func(p *Principal) { p.Shared = append(p.Shared, SharedAccount{AccountID: "A7", Name: "Seven"}) },
		"shared for reading":   func(p *Principal) { p.Shared[0].ReadOnly = !p.Shared[0].ReadOnly },
		"shared under a name":  func(p *Principal) { p.Shared[0].Name = "renamed" },
		"a part is shared":     func(p *Principal) { p.Shared[0].Partial = true },
		"not subscribed":       func(p *Principal) { p.Shared[0].Unsubscribed = true },
		"another key of push":  func(*Principal) { key = "second" },
		"without a capability": func(*Principal) { signs = false },
	} {
		key, signs = "first", true
		p := testPrincipal()
		change(p)
		session, err := s.Session(p)
		if err != nil {
			t.Fatal(err)
		}
		state := session.State
		if state == "" {
			t.Fatalf("%s: no state", name)
		}
		if other, twice := seen[state]; twice {
			t.Errorf("%q and %q have the same state", name, other)
		}
		seen[state] = name
	}
}

func TestSessionStateDoesNotDependOnTheOrderOfShares(t *testing.T) {
	t.Parallel()
	s := testService(t)
	one, other := testPrincipal(), testPrincipal()
	other.Shared[0], other.Shared[1] = other.Shared[1], other.Shared[0]
	a, err := s.Session(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Session(other)
	if err != nil {
		t.Fatal(err)
	}
	if a.State != b.State {
		t.Error("the order of what is shared changes the state")
	}
}
