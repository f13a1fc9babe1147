package canary_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/canary"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

func TestWordsAreSeenAsTheyAreAndInBase64WhateverStandsAround(t *testing.T) {
	t.Parallel()
	bird := canary.New()
	for before := range 4 {
		for after := range 4 {
			plain := strings.Repeat("\xff", before) + bird.Word(canary.Header) + strings.Repeat("\xff", after)
			for name, data := range map[string]string{
				"plain":  plain,
				"base64": base64.StdEncoding.EncodeToString([]byte(plain)),
				"padded": base64.URLEncoding.EncodeToString([]byte(plain)) + "==",
			} {
				if diff := cmp.Diff(canary.Found{canary.Header: "here"}, bird.Look("here", []byte(data))); diff != "" {
					t.Errorf("%s, %d before, %d after: %s", name, before, after, diff)
				}
			}
		}
	}
}

func TestOnlyTheCanarysOwnWordsAreSeen(t *testing.T) {
	t.Parallel()
	bird, other := canary.New(), canary.New()
	message := other.Message("ada@contoso.example", time.Now())
	if found := bird.Look("message", message.Raw); found != nil {
		t.Errorf("found %s", found)
	}
	part := strings.TrimSuffix(bird.Word(canary.File), canary.File)
	if diff := cmp.Diff("the word of the canary in a part", bird.Look("a part", []byte(part)).String()); diff != "" {
		t.Error(diff)
	}
}

func TestMessageHoldsAllWordsThatOneMessageHas(t *testing.T) {
	t.Parallel()
	bird := canary.New()
	found := bird.Look("message", bird.Message("ada@contoso.example", time.Now()).Raw)
	if diff := cmp.Diff([]string{canary.Mailbox, canary.Brought, canary.Sent}, found.Missing()); diff != "" {
		t.Error(diff)
	}
}

// TestStoreThatIsInUseShowsItsKeysValuesAndBlobs puts one word each where only the engine
// shows it, or only the file.
func TestStoreThatIsInUseShowsItsKeysValuesAndBlobs(t *testing.T) {
	t.Parallel()
	folder, bird := t.TempDir(), canary.New()
	engine, err := pebble.Open(t.Context(), folder, pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	batch := &store.Batch{}
	batch.Set(store.NewKey("a").String(bird.Word(canary.Subject)), nil)
	batch.Set(store.NewKey("a").String("value"), bytes.Repeat([]byte(bird.Word(canary.Text)), 1000))
	if err := engine.Commit(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	blobs := store.NewBlobs(engine, nil)
	for _, content := range []string{bird.Word(canary.File), strings.Repeat(bird.Word(canary.Header), store.InlineLimit)} {
		if _, err := blobs.Put(t.Context(), "tenant", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, bird.Word(canary.FileName)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	search := bird.Start()
	if err := search.Store(t.Context(), folder, filepath.Join(t.TempDir(), "copies", "a")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{canary.Sender, canary.Mailbox, canary.Brought, canary.Sent}, search.Found.Missing()); diff != "" {
		t.Error(diff)
	}
	if search.Octets < store.InlineLimit {
		t.Errorf("looked at %d octets", search.Octets)
	}
	nothing := canary.New().Start()
	if err := nothing.Store(t.Context(), folder, filepath.Join(t.TempDir(), "copies", "b")); err != nil || len(nothing.Found) != 0 {
		t.Errorf("found %s, %v", nothing.Found, err)
	}
}

func TestFilesAreChosen(t *testing.T) {
	t.Parallel()
	folder, bird := t.TempDir(), canary.New()
	for name, place := range map[string]string{"0.log": canary.Text, "upload": canary.File} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(bird.Word(place)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	search := bird.Start()
	if err := search.Files(folder, func(path string) bool { return filepath.Ext(path) == ".log" }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(canary.Found{canary.Text: filepath.Join(folder, "0.log")}, search.Found); diff != "" {
		t.Error(diff)
	}
	if err := search.Files(filepath.Join(folder, "none"), nil); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
