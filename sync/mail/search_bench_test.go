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
		text.WriteString(fmt.Sprintf("w%s%c", []string{"ord", "erk", "ort"}[zipf.Uint64()%3], " \n"[min(i%12/11, 1)]))
		text.WriteString(fmt.Sprintf("z%xq ", zipf.Uint64()))
	}
	if n%1000 == 7 {
		text.WriteString("periwinkle")
	}
	return mime(text.String(), fmt.Sprintf("Message-ID: <%d@x>", n), "From: Ann Example <ann@agency.us>", fmt.Sprintf("To: Reader %d <reader%d@agency.us>", n%50, n%50), fmt.Sprintf("Subject: Message %d", n))
}

// library fills the inbox of a desk with prose.
func (d *desk) fill(inbox string, emails, words int) {
	d.tb.Helper()
	random := rand.New(rand.NewPCG(5, 6))
	for i := 0; i < emails; i += 500 {
		batch := object{}
		for n := i; n < min(i+500, emails); n++ {
			batch[fmt.Sprint("e", n)] = object{"blobId": d.upload(prose(random, n, words)), "mailboxIds": object{inbox: true}}
		}
		d.call("Email/import", object{"emails": batch})
	}
}

// BenchmarkSearchText searches 10,000 messages for words that few and most of them hold.
func BenchmarkSearchText(b *testing.B) {
	d, inbox := newBenchDesk(b, 0)
	d.fill(inbox, 10_000, 150)
	for _, c := range []struct {
		name string
		args object
		want int
	}{
		{"rare", object{"filter": object{"text": "periwinkle"}}, 10},
		{"common", object{"filter": object{"text": "word"}, "calculateTotal": true, "limit": 50}, 50},
		{"common-first", object{"filter": object{"body": "word"}, "limit": 50}, 50},
		{"phrase", object{"filter": object{"body": `"periwinkle"`, "subject": "message 2007"}}, 1},
		{"from", object{"filter": object{"to": "reader17@agency"}, "limit": 50}, 50},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.args["accountId"] = "a1"
			for b.Loop() {
				var found jmap.QueryResponse
				if err := json.Unmarshal(d.run(b, "Email/query", c.args), &found); err != nil || len(found.IDs) != c.want {
					b.Fatalf("found %d, want %d: %v", len(found.IDs), c.want, err)
				}
			}
		})
	}
}
