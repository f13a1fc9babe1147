// Command storefixture writes a small store and prints its keys and values, one pair a line, each quoted as Go quotes
// strings. Tests load what a version printed into the engines of later ones.
//
// The fixture of an earlier format is made by the program of then:
//
//	git worktree add /tmp/then COMMIT
//	cp -r hack/storefixture /tmp/then/hack/
//	(cd /tmp/then && go run ./hack/storefixture) > sync/store/storetest/testdata/formatN.txt
//
// Format 1 is that of commit 1d57bcc.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "storefixture:", err)
		os.Exit(1)
	}
}

// messages are contents of several kinds: empty, too short to compress, text that repeats itself, octets of all values,
// and one that is kept as an object, of which the fixture has the record alone.
func messages() []string {
	var octets []byte
	for i := range uint32(256) {
		octets = binary.BigEndian.AppendUint32(octets, i*2654435761)
	}
	return []string{
		"",
		"Subject: short\r\n\r\nHi.\r\n",
		"From: ann@agency.example\r\nTo: bob@agency.example\r\nSubject: minutes\r\n\r\n" + strings.Repeat("The minutes are attached.\r\n", 100),
		"Subject: {\"size\":1}\r\n\r\n" + string(octets),
		strings.Repeat("The attachment is large.\r\n", 3000),
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "storefixture")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	engine, err := pebble.Open(ctx, dir, pebble.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	now := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	journal, err := store.NewJournal(engine, store.Options{Owner: "fixture", Now: now})
	if err != nil {
		return err
	}
	blobs := store.NewBlobs(engine, now)
	for _, m := range messages() {
		info, err := blobs.Put(ctx, "agency", strings.NewReader(m))
		if err != nil {
			return err
		}
		err = journal.Update(ctx, "account", func(tx *store.Tx) error {
			tx.Set(store.NewKey("account").String("email").String(info.Hash), []byte(info.Hash))
			tx.Changed(store.Change{Type: "Email", ID: info.Hash, Kind: store.Created})
			return blobs.Ref(ctx, engine, tx, "agency", info.Hash, 1)
		})
		if err != nil {
			return err
		}
	}
	return dump(ctx, engine, out)
}

// dump prints all keys and values.
func dump(ctx context.Context, engine store.Reader, out io.Writer) error {
	w := bufio.NewWriter(out)
	for pair, err := range engine.Scan(ctx, store.Range{}, store.ScanOptions{}) {
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%q %q\n", pair.Key, pair.Value); err != nil {
			return err
		}
	}
	return w.Flush()
}
