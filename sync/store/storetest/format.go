package storetest

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// formatOne is what a program of format 1 wrote: see hack/storefixture.
//
//go:embed testdata/format1.txt
var formatOne string

// formatOneLarge is the content of the blob of the fixture that is an object.
var formatOneLarge = strings.Repeat("The attachment is large.\r\n", 3000)

// LoadFormatOne makes an engine hold what a program of format 1 wrote, and nothing else.
func LoadFormatOne(t *testing.T, e store.Engine) {
	t.Helper()
	pairs := formatOnePairs(t)
	commit(t, e, func(b *store.Batch) {
		b.DeleteRange(store.Range{Start: []byte{0}, End: []byte{0xff}})
		for _, p := range pairs {
			b.Set(p.Key, p.Value)
		}
	})
	name, _ := formatOneObject(t)
	if _, err := e.Objects().Write(t.Context(), name, strings.NewReader(formatOneLarge)); err != nil {
		t.Fatalf("write object: %v", err)
	}
}

// formatOneObject returns the name of the object of the fixture, and the hash of its content.
func formatOneObject(t *testing.T) (name, hash string) {
	t.Helper()
	for _, p := range formatOnePairs(t) {
		var info store.BlobInfo
		kind, id := kindOf(p.Key)
		if kind == "blob" && json.Unmarshal(p.Value, &info) == nil && info.Object != "" {
			return info.Object, id
		}
	}
	t.Fatal("the fixture has no object")
	return "", ""
}

// kindOf cuts the kind and what follows it, a hash for the records of blobs, from a key.
func kindOf(key []byte) (kind, id string) {
	_, rest, err := store.CutString(key)
	if err != nil {
		return "", ""
	}
	if kind, rest, err = store.CutString(rest); err != nil {
		return "", ""
	}
	id, _, _ = store.CutString(rest)
	return kind, id
}

// CheckFormatOne checks that an engine with what a program of format 1 wrote carries its format and holds all of it.
func CheckFormatOne(t *testing.T, e store.Engine) {
	t.Helper()
	b, messages := store.NewBlobs(e, nil), 0
	for _, p := range formatOnePairs(t) {
		if bytes.HasPrefix(p.Key, []byte("!\x00")) {
			p.Value = []byte(store.FormatOf(e))
		}
		got, err := e.Get(t.Context(), p.Key)
		if err != nil || string(got) != string(p.Value) {
			t.Errorf("key %q holds %q, want %q: %v", p.Key, got, p.Value, err)
		}
		if kind, hash := kindOf(p.Key); kind == "data" {
			messages++
			equal(t, "message "+hash, content(t, b, "agency", hash), string(p.Value))
		}
	}
	equal(t, "messages", messages, 4)
	_, hash := formatOneObject(t)
	equal(t, "large message", content(t, b, "agency", hash), formatOneLarge)
}

func formatOnePairs(t *testing.T) (pairs []store.Pair) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(formatOne))
	for lines.Scan() {
		key, err := strconv.QuotedPrefix(lines.Text())
		if err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		value := strings.TrimPrefix(lines.Text(), key+" ")
		pairs = append(pairs, store.Pair{Key: unquote(t, key), Value: unquote(t, value)})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return pairs
}

func unquote(t *testing.T, quoted string) []byte {
	t.Helper()
	s, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	return []byte(s)
}

// olderFormatsAreMigrated opens a store of format 1, writes to it, and finds old records and new ones beside each other.
func olderFormatsAreMigrated(t *testing.T, f Factory) {
	if f.Reopen == nil || f.Spread {
		t.Skip("the engine carries no format, or cannot be opened again")
	}
	e := open(t, f)
	LoadFormatOne(t, e)
	again := f.Reopen(t, e)
	t.Cleanup(func() {
		if err := again.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	CheckFormatOne(t, again)
	b := store.NewBlobs(again, nil)
	long := strings.Repeat("The minutes are attached.\r\n", 100)
	info := put(t, b, "agency", long)
	equal(t, "new content", content(t, b, "agency", info.Hash), long)
	for _, p := range formatOnePairs(t) {
		if kind, _ := kindOf(p.Key); kind != "data" {
			continue
		}
		// Content that an old record has is kept once.
		old := put(t, b, "agency", string(p.Value))
		equal(t, "is packed", old.Packed, false)
	}
	checkReferences(t, again, b)
}

// checkReferences checks that blobs of format 1 leave with their last reference, and not before.
func checkReferences(t *testing.T, e store.Engine, b *store.Blobs) {
	t.Helper()
	if n, err := b.Collect(t.Context(), "agency", -time.Hour); err != nil || n != 1 {
		t.Errorf("collected %d blobs, want the one without a reference: %v", n, err)
	}
	j := journal(t, e, store.Options{})
	err := j.Update(t.Context(), "account", func(tx *store.Tx) error {
		for _, p := range formatOnePairs(t) {
			kind, hash := kindOf(p.Key)
			if kind != "refs" {
				continue
			}
			if err := b.Ref(t.Context(), e, tx, "agency", hash, -1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	if n, err := b.Collect(t.Context(), "agency", -time.Hour); err != nil || n != 5 {
		t.Errorf("collected %d blobs, want the five of the account: %v", n, err)
	}
}
