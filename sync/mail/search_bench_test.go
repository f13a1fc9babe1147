package mail

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// prose makes a message with words as often as people use them: a few all the time, most of them seldom.
func prose(random *rand.Rand, n, words int) string {
	zipf := rand.NewZipf(random, 1.1, 3, 60_000)
	var text strings.Builder
	for i := range words {
		fmt.Fprintf(&text, "word%x%c", zipf.Uint64(), " \n"[min(i%12/11, 1)])
	}
	if n%1000 == 7 {
		text.WriteString("periwinkle")
	}
	return mime(text.String(), fmt.Sprintf("Message-ID: <%d@x>", n), "From: Ann Example <ann@agency.us>", fmt.Sprintf("To: Reader %d <reader%d@agency.us>", n%50, n%50), fmt.Sprintf("Subject: Message %d", n))
}

// fill puts prose into a mailbox.
func (d *desk) fill(mailbox string, emails, words int) {
	d.tb.Helper()
	random := rand.New(rand.NewPCG(5, 6))
	for i := 0; i < emails; i += 500 {
		batch := object{}
		for n := i; n < min(i+500, emails); n++ {
			batch[fmt.Sprint("e", n)] = object{"blobId": d.upload(prose(random, n, words)), "mailboxIds": object{mailbox: true}}
		}
		d.call("Email/import", object{"emails": batch})
	}
}

// BenchmarkSearch searches 10,000 messages, with the index and by reading them all.
func BenchmarkSearch(b *testing.B) {
	d, inbox := newBenchDesk(b, 0)
	d.fill(inbox, 10_000, 150)
	for range 3 {
		d.query(object{"filter": object{"text": "periwinkle"}})
	}
	for _, c := range []struct {
		name string
		args object
		want int
	}{
		{"rare", object{"filter": object{"text": "periwinkle"}}, 10},
		{"common", object{"filter": object{"text": "word1"}, "calculateTotal": true, "limit": 50}, 50},
		{"newest", object{"filter": object{"body": "word1"}, "limit": 50, "sort": []object{{"property": "receivedAt", "isAscending": false}}}, 50},
		{"two", object{"filter": object{"body": "periwinkle", "subject": "message 2007"}}, 1},
		{"address", object{"filter": object{"to": "reader17@agency"}, "limit": 50}, 50},
	} {
		c.args["accountId"] = "a1"
		b.Run(c.name+"/indexed", func(b *testing.B) {
			for b.Loop() {
				var found jmap.QueryResponse
				if err := json.Unmarshal(d.run(b, "Email/query", c.args), &found); err != nil || len(found.IDs) != c.want {
					b.Fatalf("found %d, want %d: %v", len(found.IDs), c.want, err)
				}
			}
		})
		b.Run(c.name+"/read", func(b *testing.B) {
			for b.Loop() {
				if ids := d.reading(b, c.args); len(ids) < c.want {
					b.Fatalf("found %d, want %d", len(ids), c.want)
				}
			}
		})
	}
}
