package mail

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// reading answers an Email/query without the index: by reading every email until there are enough.
func (d *desk) reading(tb testing.TB, args object) []string {
	tb.Helper()
	var q emailQueryArguments
	raw, err := json.Marshal(args)
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	if err != nil {
		tb.Fatalf("arguments: %v", err)
	}
	account := q.AccountID
	if account == "" {
		account = d.principal.AccountID
	}
	l, err := d.service.newEmailLister(tb.Context(), &jmap.Call{Principal: d.visiting(), Using: d.using}, account, q.Filter, q.Sort, q.CollapseThreads)
	if err != nil {
		tb.Fatalf("query: %v", err)
	}
	var ids []string
	err = d.service.view(tb.Context(), account, func(r store.Reader) error {
		if err := l.begin(r); err != nil {
			return err
		}
		l.index = nil
		enough, _, err := l.enough(&q.QueryArguments)
		if err == nil {
			ids, err = l.list(enough)
		}
		return err
	})
	if err != nil {
		tb.Fatalf("query: %v", err)
	}
	return ids
}

// vocabulary has words of several scripts, and of one that others contain.
//
//nolint:gosmopolitan // words of these scripts are what is tested
var vocabulary = strings.Fields("plan Planet planetary Straße STRASSE café cafe\u0301 naïve über ＦＵＬＬ width ﬁnal 请看附件 附件 看附 東京都 とうきょう カタカナ ｶﾀｶﾅ ภาษาไทย ไทย 서울시 서울 Ёлка елка Διονύσης שָׁלוֹם مُحَمَّد हिन्दी ann@agency.us agency.us report-2026 x_y 5€ it's 🎉 a " + strings.Repeat("long", 12))

func someWords(random *rand.Rand, most int) string {
	var out []string
	for range random.IntN(most) + 1 {
		out = append(out, vocabulary[random.IntN(len(vocabulary))])
	}
	return strings.Join(out, " ")
}

func randomMessage(random *rand.Rand) string {
	return mime(someWords(random, 12), "From: \""+someWords(random, 2)+"\" <"+[]string{"ann@agency.us", "bob@example.org"}[random.IntN(2)]+">",
		"To: team@agency.us", "Cc: "+someWords(random, 1)+" <c@x>", "Subject: "+someWords(random, 4), "X-Own: "+someWords(random, 2),
		"Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
}

// addMany imports random messages into a mailbox and returns their ids.
func (d *desk) addMany(random *rand.Rand, mailbox string, n int) []string {
	d.tb.Helper()
	batch := object{}
	for i := range n {
		d.at = d.at.Add(time.Second)
		received := d.at.Add(-time.Duration(random.IntN(100)) * time.Minute)
		batch[fmt.Sprint("e", i)] = object{"blobId": d.upload(randomMessage(random)), "mailboxIds": object{mailbox: true}, "receivedAt": received.Format("2006-01-02T15:04:05Z")}
	}
	return createdIDs(d, d.call("Email/import", object{"emails": batch}), n)
}

func createdIDs(d *desk, out object, n int) []string {
	d.tb.Helper()
	created, _ := out["created"].(object)
	if len(created) != n {
		d.tb.Fatalf("%d of %d were created: %v", len(created), n, out["notCreated"])
	}
	var ids []string
	for _, c := range created {
		ids = append(ids, str(c.(object)["id"]))
	}
	return ids
}

// randomSearch is what a filter looks for: words of the vocabulary, parts of them, and phrases.
func randomSearch(random *rand.Rand) string {
	search := someWords(random, 2)
	if runes := []rune(search); random.IntN(2) == 0 {
		at := random.IntN(len(runes))
		search = string(runes[at : at+1+random.IntN(len(runes)-at)])
	}
	if random.IntN(4) == 0 {
		return `"` + search + `"`
	}
	return search
}

func randomFilter(random *rand.Rand, mailboxes []string, depth int) object {
	if depth > 0 && random.IntN(3) == 0 {
		var conditions []object
		for range random.IntN(3) + 1 {
			conditions = append(conditions, randomFilter(random, mailboxes, depth-1))
		}
		return object{"operator": []string{"AND", "OR", "NOT"}[random.IntN(3)], "conditions": conditions}
	}
	out := object{}
	for range random.IntN(2) + 1 {
		switch name := []string{"text", "from", "to", "cc", "bcc", "subject", "body", "text", "body", "inMailbox", "header"}[random.IntN(11)]; name {
		case "inMailbox":
			out[name] = mailboxes[random.IntN(len(mailboxes))]
		case "header":
			out[name] = []string{"X-Own", randomSearch(random)}
		default:
			out[name] = randomSearch(random)
		}
	}
	return out
}

// compare asks random questions of the index and of all emails, and returns how many found anything.
func (d *desk) compare(random *rand.Rand, account string, mailboxes []string, queries int) (found int) {
	d.tb.Helper()
	for range queries {
		args := object{"accountId": account, "filter": randomFilter(random, mailboxes, 2), "collapseThreads": random.IntN(4) == 0}
		if random.IntN(2) == 0 {
			args["sort"] = []object{{"property": []string{"receivedAt", "subject", "size"}[random.IntN(3)], "isAscending": random.IntN(2) == 0}}
		}
		if random.IntN(3) == 0 {
			args["limit"] = random.IntN(20) + 1
		}
		want, got := d.reading(d.tb, args), d.query(args)
		if limit, ok := args["limit"].(int); ok {
			want = want[:min(limit, len(want))]
		}
		equal(d.tb, fmt.Sprint(args), got, append([]string{}, want...))
		if len(got) > 0 {
			found++
		}
	}
	return found
}

// segments are those of the index of an account.
func (d *desk) segments(account string) []indexSegment {
	d.tb.Helper()
	var state *indexState
	err := d.service.view(d.tb.Context(), account, func(r store.Reader) (err error) {
		state, _, err = readIndex(d.tb.Context(), r, account)
		return err
	})
	if err != nil {
		d.tb.Fatal(err)
	}
	return state.Segments
}

// indexed is how many emails are in the index of the desk.
func (d *desk) indexed() int {
	d.tb.Helper()
	n := 0
	for _, s := range d.segments("a1") {
		n += s.Emails
	}
	return n
}

// TestTheIndexFindsWhatReadingFinds compares while emails come, go, move and are copied, at home and for a visitor.
func TestTheIndexFindsWhatReadingFinds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			d := newDesk(t)
			other := d.colleague("a2")
			boxes := []string{d.role("inbox"), d.role("archive"), d.role("trash")}
			d.share(boxes[1], "a2", mayReadItems)
			elsewhere := other.addMany(random, other.role("inbox"), 20)
			found := 0
			var ids []string
			for round := range 5 {
				for _, box := range boxes {
					ids = append(ids, d.addMany(random, box, 20+random.IntN(40))...)
				}
				ids = append(ids, d.copied(other, elsewhere, boxes[random.IntN(3)])...)
				random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
				update := object{}
				for _, id := range ids[:10] {
					update[id] = object{"mailboxIds": object{boxes[random.IntN(3)]: true}, "keywords": object{"$seen": true}}
				}
				if out := d.call("Email/set", object{"update": update, "destroy": ids[len(ids)-15:]}); out["notUpdated"] != nil || out["notDestroyed"] != nil {
					t.Fatalf("set: %v", out)
				}
				ids = ids[:len(ids)-15]
				found += d.compare(random, "a1", boxes, 30) + other.compare(random, "a1", boxes, 15)
				if round == 3 {
					d.at = d.at.Add(48 * time.Hour)
					if err := d.service.Collect(t.Context()); err != nil {
						t.Fatalf("collect: %v", err)
					}
				}
			}
			if len(d.segments("a1")) == 0 || found < 50 {
				t.Errorf("%d segments, %d searches found anything: too few for the test", len(d.segments("a1")), found)
			}
		})
	}
}

// copied copies emails of another account.
func (d *desk) copied(from *desk, ids []string, mailbox string) []string {
	d.tb.Helper()
	d.principal.Shared = []jmap.SharedAccount{{AccountID: from.principal.AccountID}}
	defer func() { d.principal.Shared = nil }()
	create := object{}
	for i, id := range ids {
		create[fmt.Sprint("c", i)] = object{"id": id, "mailboxIds": object{mailbox: true}}
	}
	return createdIDs(d, d.call("Email/copy", object{"fromAccountId": from.principal.AccountID, "create": create}), len(ids))
}

// TestSearchesFindWordsOfEveryScript tells what is found of words in scripts with and without spaces: any part of them.
//
//nolint:gosmopolitan // words of these scripts are what is tested
func TestSearchesFindWordsOfEveryScript(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	text := []string{"Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"}
	var first, last []string
	bodies := []string{"请看附件，谢谢", "東京都に行きました ｶﾞｷﾞ", "ภาษาไทยง่าย", "서울시청", "Die Straße ist schön: ﬁnal", "Ёлка и ёж", "Q1-report_final.pdf for ann@agency.us"}
	for _, body := range bodies {
		first = append(first, d.add(inbox, mime(body, text...)))
	}
	d.addMany(rand.New(rand.NewPCG(1, 1)), d.role("archive"), 200)
	d.query(object{"filter": object{"text": "anything"}})
	for _, body := range bodies {
		last = append(last, d.add(inbox, mime(body, text...)))
	}
	for search, want := range map[string]int{
		"附件": 0, "件": 0, "看附件": 0, "请看附件，谢谢": 0, "京都": 1, "行きま": 1, "ガギ": 1, "ガ": 1, "ไทย": 2, "ง่าย": 2, "시청": 3, "서울": 3,
		"strasse": 4, "STRASSE IST": 4, "schon": 4, "SCHÖN": 4, "final": 4, "елка": 5, "еж": 5, "port_fin": 6, "agency.us": 6, "ＡＮＮ＠ＡＧＥＮＣＹ": 6, "pdf": 6,
		"件附": -1, "都東": -1, "ท": 2, "ij": -1,
	} {
		got := d.query(object{"filter": object{"inMailbox": inbox, "body": search}})
		if want < 0 {
			equal(t, search, got, []string{})
			continue
		}
		if found := strings.Join(got, " "); !strings.Contains(found, first[want]) || !strings.Contains(found, last[want]) {
			t.Errorf("%q: found %v, want %q and %q", search, got, first[want], last[want])
		}
	}
	if len(d.segments("a1")) == 0 {
		t.Error("there is no index")
	}
}

// write changes a value of the account outside of any method.
func (d *desk) write(key, value []byte) {
	d.tb.Helper()
	err := d.service.journal.Update(d.tb.Context(), "a1", func(tx *store.Tx) error {
		tx.Set(key, value)
		return nil
	})
	if err != nil {
		d.tb.Fatal(err)
	}
}

func TestIndexesThatCannotBeUsedDoNotChangeResults(t *testing.T) {
	t.Parallel()
	k := keys("a1")
	for name, test := range map[string]struct {
		key   []byte
		value string
		// left says that the index stays as it is.
		left bool
	}{
		"damaged dictionary":  {k.segment(0).dictionary(indexFields[textBody]).Uint(0), "\x00\xff\xff", false},
		"damaged emails":      {k.segment(0).docs(), "\x05\x00", false},
		"of another Unicode":  {k.indexState(), `{"format":1,"unicode":"1.0.0","segments":[{"id":7}]}`, false},
		"of an older version": {k.indexState(), `{"format":0}`, false},
		"of a newer version":  {k.indexState(), `{"format":99}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			boxes := []string{d.role("inbox")}
			random := rand.New(rand.NewPCG(5, 5))
			d.addMany(random, boxes[0], 3*indexAfter)
			d.query(object{"filter": object{"text": "plan"}})
			d.write(test.key, []byte(test.value))
			d.compare(random, "a1", boxes, 20)
			d.addMany(random, boxes[0], indexAfter)
			d.compare(random, "a1", boxes, 20)
			emails := d.indexed()
			if want := 4 * indexAfter; (emails == want) == test.left {
				t.Errorf("%d emails are indexed of %d", emails, want)
			}
		})
	}
}

func TestIndexingGoesOnWhereItWasLeft(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	needle := d.add(inbox, mime("needle", "Subject: s"))
	large := strings.Repeat("straw ", 40_000)
	perStep := indexText/len(large) + 1
	for n := range indexAfter + perStep {
		d.add(inbox, mime(large, fmt.Sprint("Subject: ", n)))
	}
	var indexed []int
	for more := true; more; {
		var err error
		if more, err = d.service.indexStep(t.Context(), "a1", "agency/agency"); err != nil {
			t.Fatalf("index: %v", err)
		}
		indexed = append(indexed, d.indexed())
	}
	// The first step makes the record, and the last finds too few emails left.
	equal(t, "emails that are indexed, step by step", indexed, []int{0, perStep + 1, 2*perStep + 1, 2*perStep + 1})
	equal(t, "found", d.query(object{"filter": object{"body": "needle"}}), []string{needle})
}

func TestLookUpsAreBoundedWork(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(d.role("inbox"), 3*indexAfter, 150)
	d.query(object{"filter": object{"text": "periwinkle"}})
	d.service.opts.MaxEffort = 2 << 20
	equal(t, "one word", d.query(object{"filter": object{"from": "nobody"}}), []string{})
	var many []object
	for n := range 500 {
		many = append(many, object{"text": fmt.Sprint("word nothing", n)})
	}
	equal(t, "many words", d.refused("Email/query", object{"filter": object{"operator": "OR", "conditions": many}}), jmap.ErrorUnsupportedFilter)
}

func TestReplicasIndexOneAccountTogether(t *testing.T) {
	t.Parallel()
	desks := newReplicas(t, 2)
	inbox := desks[0].role("inbox")
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 4 {
		desks[round%2].addMany(random, inbox, indexAfter)
		var both sync.WaitGroup
		for _, d := range desks {
			both.Go(func() { d.service.catchUp(t.Context(), "a1", "agency/agency") })
		}
		both.Wait()
	}
	for i, d := range desks {
		d.compare(rand.New(rand.NewPCG(8, uint64(i))), "a1", []string{inbox}, 25)
	}
	equal(t, "emails that are indexed", desks[0].indexed(), 4*indexAfter)
}

func FuzzFoldedPiecesAreTheFoldedText(f *testing.F) {
	f.Add("Straße  cafe\u0301 ｶﾞ ¨ \ufdfa x")
	f.Add("a\u00a8\u0345 ㅏ하")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "")
		got, want := newFoldedText(text).folded.String(), plain(text)
		if strings.TrimSpace(got) != want {
			t.Errorf("%q is folded to %q, and in pieces to %q", text, want, got)
		}
		if again := postings.Fold(want); plain(again) != want {
			t.Errorf("%q is folded to %q, and again to %q", text, want, again)
		}
	})
}
