package mail

import (
	"strconv"
	"testing"
)

func TestPrincipalsWithoutSharesAreRememberedUntilAnOfferChanges(t *testing.T) {
	t.Parallel()
	u := &unshared{}
	_, before := u.has("ann")
	u.add("ann", before)
	if known, _ := u.has("ann"); !known {
		t.Fatal("ann is forgotten")
	}
	u.changed("ann")
	if known, _ := u.has("ann"); known {
		t.Fatal("an offer to ann is not looked for")
	}
}

func TestOfferThatComesWhileAnotherLooksIsNotMissed(t *testing.T) {
	t.Parallel()
	u := &unshared{}
	_, before := u.has("ann")
	u.changed("ann")
	u.add("ann", before)
	if known, _ := u.has("ann"); known {
		t.Fatal("what was read before the offer is believed after it")
	}
}

func TestPrincipalsWithoutSharesAreRememberedWithinABound(t *testing.T) {
	t.Parallel()
	u := &unshared{}
	for n := range maxUnshared + 1 {
		u.add(strconv.Itoa(n), 0)
	}
	if len(u.known) != 1 {
		t.Fatalf("%d are remembered, want the last", len(u.known))
	}
}
