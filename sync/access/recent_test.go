package access

import (
	"strconv"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/identity"
	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

func TestTokensAreKeptWithinABound(t *testing.T) {
	t.Parallel()
	c := &recent{}
	for n := range maxRecent + 1 {
		c.add([32]byte([]byte(strconv.Itoa(1_000_000+n)+"-------------------------")), &identity.Unverified{}, 1)
	}
	if len(c.tokens) != 1 {
		t.Errorf("%d tokens are kept, want the last", len(c.tokens))
	}
	c.add([32]byte{}, &identity.Unverified{}, maxRecentToken+1)
	if len(c.tokens) != 1 {
		t.Error("a token of any size is kept")
	}
}

// TestOnlyTokensThatWereFoundGoodAreKept has the promise that nobody without one fills the memory of the gate.
func TestOnlyTokensThatWereFoundGoodAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forged := identitytest.New(t).Token(t, noon, nil)
	for _, token := range []string{"a.b.c", forged, w.issuer.Token(t, noon, map[string]any{"aud": "https://other.example"})} {
		if _, refusal := w.admit(t, token); refusal == nil {
			t.Fatal("admitted")
		}
	}
	if len(w.gate.recent.tokens) != 0 {
		t.Fatalf("%d tokens are kept", len(w.gate.recent.tokens))
	}
	good := w.issuer.Token(t, noon, nil)
	first, refusal := w.admit(t, good)
	if refusal != nil {
		t.Fatal(refusal)
	}
	again, refusal := w.admit(t, good)
	if refusal != nil || again.AccountID != first.AccountID || len(w.gate.recent.tokens) != 1 {
		t.Fatalf("admitted as %+v, then as %+v, with %d tokens kept", first, again, len(w.gate.recent.tokens))
	}
}
