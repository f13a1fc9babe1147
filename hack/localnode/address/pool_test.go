package address

import (
	"errors"
	"strconv"
	"testing"
)

func TestRangeOutsideOfLoopbackIsRefused(t *testing.T) {
	t.Parallel()
	for _, cidr := range []string{"", "10.0.0.0/16", "127.0.0.0/7", "::1/128", "127.66.0.0/30", "127.66.0.1"} {
		if _, err := NewPool(cidr); err == nil {
			t.Errorf("NewPool(%q) gave no error", cidr)
		}
	}
}

func TestOwnerKeepsItsAddressUntilRelease(t *testing.T) {
	t.Parallel()
	pool, err := NewPool("127.66.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	if got := pool.Node().String(); got != "127.66.0.1" {
		t.Errorf("node address: got %s", got)
	}
	first, err := pool.Take("a")
	if err != nil || first.String() != "127.66.0.2" {
		t.Fatalf("first address: got %s, %v", first, err)
	}
	if again, err := pool.Take("a"); err != nil || again != first {
		t.Errorf("second call for the same owner: got %s, %v, want %s", again, err, first)
	}
	pool.Release("a")
	pool.Release("a")
	if next, err := pool.Take("b"); err != nil || next == first {
		t.Errorf("address %s was reused at once (%v)", next, err)
	}
}

func TestPoolGivesEveryAddressOnceAndThenSaysSo(t *testing.T) {
	t.Parallel()
	pool, err := NewPool("127.66.0.0/29")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range 6 {
		addr, err := pool.Take(strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr.String()] {
			t.Errorf("address %s was given twice", addr)
		}
		seen[addr.String()] = true
	}
	if _, err := pool.Take("more"); !errors.Is(err, ErrExhausted) {
		t.Errorf("got %v, want ErrExhausted", err)
	}
	pool.Release("3")
	if _, err := pool.Take("more"); err != nil {
		t.Errorf("after a release: %v", err)
	}
}

func TestWantedAddressIsGivenWhenItIsFree(t *testing.T) {
	t.Parallel()
	pool, err := NewPool("127.67.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := pool.Prefer("a", "127.67.9.9"); got.String() != "127.67.9.9" {
		t.Errorf("free address: got %s", got)
	}
	for _, wanted := range []string{"127.67.9.9", "127.66.0.9", "127.67.0.1", "nonsense", ""} {
		if got, err := pool.Prefer("owner of "+wanted, wanted); err != nil || got.String() == wanted {
			t.Errorf("Prefer(%q): got %s, %v", wanted, got, err)
		}
	}
}
