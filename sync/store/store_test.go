package store

import (
	"bytes"
	"cmp"
	"errors"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func FuzzStringSegmentsKeepOrderAndContent(f *testing.F) {
	for _, pair := range [][2]string{{"", ""}, {"a", "a\x00"}, {"a\x00b", "a"}, {"\xff", "\xff\x00"}, {"a\x00\xff", "a\x01"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ka, kb := NewKey(a).Uint(7), NewKey(b).Uint(7)
		if got, want := bytes.Compare(ka, kb), cmp.Compare(a, b); got != want {
			t.Errorf("keys of %q and %q compare as %d, want %d", a, b, got, want)
		}
		back, rest, err := CutString(ka)
		if err != nil || back != a {
			t.Errorf("read %q back as %q: %v", a, back, err)
		}
		if n, rest, err := CutUint(rest); n != 7 || len(rest) != 0 || err != nil {
			t.Errorf("read number %d, rest %q: %v", n, rest, err)
		}
		if a != b && NewKey(a).Range().Contains(kb) {
			t.Errorf("range of owner %q holds a key of %q", a, b)
		}
	})
}

func TestMalformedKeysAreRefused(t *testing.T) {
	t.Parallel()
	_, _, stringErr := CutString([]byte("abc"))
	_, _, escapeErr := CutString([]byte("abc\x01\x09\x00"))
	_, _, uintErr := CutUint([]byte("1234567"))
	_, counterErr := DecodeCounter([]byte("1234567"))
	for name, err := range map[string]error{"string": stringErr, "escape": escapeErr, "number": uintErr, "counter": counterErr} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func TestDescendingNumbersSortGreatestFirst(t *testing.T) {
	t.Parallel()
	small, large := NewKey("a").Descending(1), NewKey("a").Descending(1<<63)
	if bytes.Compare(large, small) >= 0 {
		t.Errorf("key %x is not before %x", large, small)
	}
}

func TestRangeOfHighestPrefixHasNoEnd(t *testing.T) {
	t.Parallel()
	if r := (Key{0xff, 0xff}).Range(); r.End != nil || !r.Contains([]byte{0xff, 0xff, 1}) {
		t.Errorf("got range %+v", r)
	}
}

func FuzzLogEntries(f *testing.F) {
	f.Add(encodeChanges([]Change{{Type: "Email", ID: "m1", Kind: Created}, {Type: "Mailbox", ID: "b", Kind: Updated, Minor: true}}))
	f.Add([]byte("c\x00\x80"))
	f.Add([]byte("c\x00\x05ab"))
	f.Fuzz(func(t *testing.T, entry []byte) {
		changes, err := decodeChanges(entry)
		if err != nil {
			return
		}
		again, err := decodeChanges(encodeChanges(changes))
		if diff := gocmp.Diff(changes, again); diff != "" || err != nil {
			t.Errorf("read back: %v\n%s", err, diff)
		}
	})
}

func TestLaterStateIsChosen(t *testing.T) {
	t.Parallel()
	for _, tc := range [][3]string{
		{"1", "2", "2"}, {"10", "9", "10"}, {"3", "3-1", "3-1"}, {"3-2", "3-1", "3-2"}, {"4", "3-9", "4"}, {"x", "1", "1"}, {"1", "x", "1"}, {"5", "5", "5"}, {"z.5", "4", "z.5"}, {"5", "z.6", "z.6"},
	} {
		if got := Later(tc[0], tc[1]); got != tc[2] {
			t.Errorf("Later(%q, %q) = %q, want %q", tc[0], tc[1], got, tc[2])
		}
	}
}
