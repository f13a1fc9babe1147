package mail

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// randomCondition is a condition of any kind.
func randomCondition(random *rand.Rand, boxes []string, from time.Time) object {
	if random.IntN(2) == 0 {
		return randomFilter(random, boxes, 0)
	}
	name := []string{
		"inMailbox", "inMailboxOtherThan", "before", "after", "minSize", "maxSize", "hasAttachment", "hasKeyword", "notKeyword",
		"allInThreadHaveKeyword", "someInThreadHaveKeyword", "noneInThreadHaveKeyword",
	}[random.IntN(12)]
	out := object{}
	switch name {
	case "inMailbox":
		out[name] = boxes[random.IntN(len(boxes))]
	case "inMailboxOtherThan":
		out[name] = boxes[:random.IntN(len(boxes)+1)]
	case "before", "after":
		out[name] = from.Add(-time.Duration(random.IntN(100)) * time.Minute).Format("2006-01-02T15:04:05Z")
	case "minSize", "maxSize":
		out[name] = 150 + random.IntN(400)
	case "hasAttachment":
		out[name] = random.IntN(2) == 0
	default:
		out[name] = []string{"$seen", "$flagged"}[random.IntN(2)]
	}
	if random.IntN(3) == 0 {
		out["text"] = randomSearch(random)
	}
	return out
}

// randomTree is a filter of conditions of any kind.
func randomTree(random *rand.Rand, boxes []string, from time.Time, depth int) object {
	if depth == 0 || random.IntN(3) == 0 {
		return randomCondition(random, boxes, from)
	}
	conditions := []object{}
	for range random.IntN(4) {
		conditions = append(conditions, randomTree(random, boxes, from, depth-1))
	}
	return object{"operator": []string{"AND", "OR", "NOT"}[random.IntN(3)], "conditions": conditions}
}

// answers are the results of a query in each way in which one can be answered.
type answers struct {
	walked, picked, chosen []string
	// emails is how many the query started from when it started from the index.
	emails int
}

// eachWay answers an Email/query by reading every email, by the index of words alone, and as the server does.
func (d *desk) eachWay(args object) (out answers) {
	d.tb.Helper()
	var q emailQueryArguments
	raw, err := json.Marshal(args)
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	if err != nil {
		d.tb.Fatalf("arguments: %v", err)
	}
	l, err := d.service.newEmailLister(d.tb.Context(), &jmap.Call{Principal: d.visiting(), Using: d.using}, str(args["accountId"]), q.Filter, q.Sort, q.CollapseThreads)
	if err != nil {
		d.tb.Fatalf("query: %v", err)
	}
	err = d.service.view(d.tb.Context(), l.account, func(r store.Reader) error {
		if err := l.begin(r); err != nil {
			return err
		}
		enough, _, err := l.enough(&q.QueryArguments)
		if err != nil {
			return err
		}
		if out.chosen, err = l.list(enough); err != nil {
			return err
		}
		if l.index != nil && !l.barred() {
			numbers, ok, err := l.index.pick(math.MaxInt)
			if err != nil || !ok {
				return fmt.Errorf("pick: %v, %w", ok, err)
			}
			found, err := l.read(numbers, enough)
			if err != nil {
				return err
			}
			out.emails, out.picked = len(numbers), l.arranged(found)
		}
		return nil
	})
	if err != nil {
		d.tb.Fatalf("%v: %v", args, err)
	}
	out.walked = d.reading(d.tb, args)
	if out.picked == nil {
		out.picked = out.walked
	}
	return out
}

// TestSearchesThatStartFromTheIndexFindWhatReadingFinds asks for trees of conditions of every kind, at home and as a
// visitor, of emails in mailboxes and threads, of which some came in after the index was made and others are gone.
func TestSearchesThatStartFromTheIndexFindWhatReadingFinds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 9))
			d := newDesk(t)
			visitor := d.colleague("a2")
			boxes := []string{d.role("inbox"), d.role("archive"), d.role("trash")}
			d.share(boxes[1], "a2", mayReadItems)
			d.share(boxes[2], "a2", mayReadItems)
			var ids []string
			for _, box := range boxes {
				ids = append(ids, d.addMany(random, box, 60)...)
			}
			d.query(object{"filter": object{"text": "plan"}})
			ids = append(ids, d.addMany(random, boxes[0], 30)...)
			random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			update := object{}
			for _, id := range ids[:80] {
				keywords := object{[]string{"$seen", "$flagged"}[random.IntN(2)]: true}
				update[id] = object{"mailboxIds": object{boxes[random.IntN(3)]: true, boxes[random.IntN(3)]: true}, "keywords": keywords}
			}
			if out := d.call("Email/set", object{"update": update, "destroy": ids[190:]}); out["notUpdated"] != nil || out["notDestroyed"] != nil {
				t.Fatalf("set: %v", out)
			}
			found, narrow := 0, 0
			for n := range 300 {
				args := object{"accountId": "a1", "filter": randomTree(random, boxes, d.at, 3), "collapseThreads": random.IntN(3) == 0}
				if random.IntN(2) == 0 {
					args["sort"] = []object{{"property": []string{"receivedAt", "receivedAt", "subject", "size"}[random.IntN(4)], "isAscending": random.IntN(2) == 0}}
				}
				if random.IntN(3) == 0 {
					args["limit"], args["position"] = random.IntN(20)+1, random.IntN(5)
				}
				asker := []*desk{d, d, visitor}[n%3]
				got := asker.eachWay(args)
				equal(t, fmt.Sprint(args), append([]string{}, got.chosen...), append([]string{}, got.walked...))
				equal(t, fmt.Sprint("from the index: ", args), append([]string{}, got.picked...), append([]string{}, got.walked...))
				if len(got.walked) > 0 {
					found++
				}
				if got.emails > 0 && got.emails < 90 {
					narrow++
				}
			}
			if found < 60 || narrow < 20 {
				t.Errorf("%d searches found anything, %d started from few emails: too few for the test", found, narrow)
			}
		})
	}
}

func TestARareWordIsFoundWithoutWalkingTheAccount(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(d.role("inbox"), 1100, 20)
	want := d.query(object{"filter": object{"text": "periwinkle"}})
	got := d.eachWay(object{"accountId": "a1", "filter": object{"body": "periwinkle"}, "limit": 600})
	equal(t, "found", got.chosen, want)
	if got.emails > 2*indexAfter {
		t.Errorf("the search starts from %d emails", got.emails)
	}
}
