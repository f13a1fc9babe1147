package mail

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// sharedWorld is an owner with a visitor.
type sharedWorld struct {
	d, v *desk
	r    *rand.Rand
	// rights are what is given by mailbox.
	given map[string]rights
}

const canary = "kanarienvogel"

// TestNothingThatIsNotSharedLeaks calls every method as a visitor while an owner with random shares goes on.
func TestNothingThatIsNotSharedLeaks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			w := &sharedWorld{d: d, v: d.colleague("a2"), r: rand.New(rand.NewPCG(seed, 2)), given: map[string]rights{}}
			w.run(t)
		})
	}
}

func (w *sharedWorld) run(t *testing.T) {
	t.Helper()
	var boxes, emails []string
	for _, box := range list(w.d.call("Mailbox/get", object{"ids": nil})["list"]) {
		boxes = append(boxes, str(box["id"]))
	}
	out := w.d.call("Mailbox/set", object{"create": object{"x": object{"name": canary, "parentId": boxes[0]}}})
	secret := str(out["created"].(object)["x"].(object)["id"])
	boxes = append(boxes, secret)
	// known is the visitor's copy of the account, kept up to date by changes.
	known := map[string]bool{}
	state := ""
	for step := range 40 {
		w.step(secret, boxes, &emails, step)
		partial := slices.ContainsFunc(w.v.visiting().Shared, func(a jmap.SharedAccount) bool { return a.AccountID == "a1" })
		if !partial {
			state, known = "", map[string]bool{}
			continue
		}
		w.attack(t, boxes, emails)
		// What the visitor may add, it did.
		seen := map[string]bool{}
		emails = nil
		err := eachEmail(t.Context(), w.d.engine, "a1", func(m *email) { emails = append(emails, m.ID) })
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range emails {
			if w.sees(id) {
				seen[id] = true
			}
		}
		if state != "" {
			state = w.follow(t, known, state)
		}
		if state == "" {
			known = maps.Clone(seen)
			state = str(w.v.call("Email/get", w.d.in(object{"ids": []string{}}))["state"])
		}
		if !maps.Equal(known, seen) {
			t.Fatalf("step %d: changes lead to %v, the visitor sees %v", step, known, seen)
		}
		equal(t, "query", slices.Sorted(slices.Values(strs(w.v.call("Email/query", w.d.in(object{}))["ids"]))), slices.Sorted(maps.Keys(seen)))
		w.recount(t)
		if t.Failed() {
			t.Fatalf("step %d", step)
		}
	}
}

// step changes something of the owner's account.
func (w *sharedWorld) step(secret string, boxes []string, emails *[]string, step int) {
	box := boxes[w.r.IntN(len(boxes))]
	switch w.r.IntN(5) {
	case 0, 1:
		subject, body := "shared", fmt.Sprint("harmless ", step)
		reply := fmt.Sprintf("In-Reply-To: <%d@x>", w.r.IntN(4))
		if w.given[box]&mayReadItems == 0 {
			body = canary + " " + body
			*emails = append(*emails, w.d.add(box, mime(body, "Subject: shared", "From: "+canary+"@x", fmt.Sprintf("Message-ID: <%s%d@x>", canary, step), reply), canary))
			return
		}
		*emails = append(*emails, w.d.add(box, mime(body, "Subject: "+subject, reply)))
	case 2:
		if len(*emails) > 0 {
			w.d.call("Email/set", object{"destroy": []string{(*emails)[w.r.IntN(len(*emails))]}})
		}
	case 3:
		if len(*emails) > 0 {
			id := (*emails)[w.r.IntN(len(*emails))]
			if !w.isCanary(id) {
				w.d.call("Email/set", object{"update": object{id: object{"mailboxIds": object{box: true}, "keywords/$seen": true}}})
			} else {
				w.d.call("Email/set", object{"update": object{id: object{"mailboxIds": object{secret: true}}}})
			}
		}
	case 4:
		given := rights(w.r.IntN(allRights+1)) &^ mayShare
		if box == secret || (given.has(mayReadItems) && w.holdsCanary(box)) || w.r.IntN(4) == 0 {
			given = 0
		}
		if w.given[box] = given; box != secret {
			w.d.share(box, "a2", given)
		}
	}
}

// record reads an email past all checks.
func (w *sharedWorld) record(id string) *email {
	m := &email{ID: id}
	exists, err := readJSON(w.d.tb.Context(), w.d.engine, keys("a1").email(id), m)
	if err != nil {
		w.d.tb.Fatal(err)
	}
	if !exists {
		return nil
	}
	return m
}

func (w *sharedWorld) isCanary(id string) bool {
	m := w.record(id)
	return m != nil && m.has(canary)
}

func (w *sharedWorld) holdsCanary(box string) bool {
	found := false
	err := eachEmail(w.d.tb.Context(), w.d.engine, "a1", func(m *email) { found = found || (m.in(box) && m.has(canary)) })
	if err != nil {
		w.d.tb.Fatal(err)
	}
	return found
}

func (w *sharedWorld) sees(id string) bool {
	m := w.record(id)
	return m != nil && slices.ContainsFunc(m.Mailboxes, func(box string) bool { return w.given[box].has(mayReadItems) })
}

// follow brings a copy up to date by Email/changes, a few at a time, and returns the new state; nothing when it must
// be read anew.
func (w *sharedWorld) follow(t *testing.T, known map[string]bool, state string) string {
	t.Helper()
	for {
		out, err := w.v.try("Email/changes", w.d.in(object{"sinceState": state, "maxChanges": 1 + w.r.IntN(3)}))
		if err != nil {
			return ""
		}
		for _, id := range append(strs(out["created"]), strs(out["updated"])...) {
			known[id] = true
		}
		for _, id := range strs(out["destroyed"]) {
			delete(known, id)
		}
		if state = str(out["newState"]); out["hasMoreChanges"] == false {
			equal(t, "state", any(state), w.v.call("Email/get", w.d.in(object{"ids": []string{}}))["state"])
			return state
		}
	}
}

// recount compares the counts that the visitor is told with what it sees.
func (w *sharedWorld) recount(t *testing.T) {
	t.Helper()
	for _, box := range list(w.v.call("Mailbox/get", w.d.in(object{"ids": nil}))["list"]) {
		id := str(box["id"])
		all := strs(w.v.call("Email/query", w.d.in(object{"filter": object{"inMailbox": id}}))["ids"])
		threads, unreadThreads := map[string]bool{}, map[string]bool{}
		for _, email := range list(w.v.call("Email/get", w.d.in(object{"ids": all, "properties": []string{"threadId"}}))["list"]) {
			thread := str(email["threadId"])
			threads[thread] = true
			for _, other := range strs(list(w.v.call("Thread/get", w.d.in(object{"ids": []string{thread}}))["list"])[0]["emailIds"]) {
				m := w.record(other)
				trash := w.d.role("trash")
				if visible := slices.DeleteFunc(slices.Clone(m.Mailboxes), func(b string) bool { return !w.given[b].has(mayReadItems) }); m.unread() {
					onlyTrash := len(visible) == 1 && visible[0] == trash
					if (id == trash && slices.Contains(visible, trash)) || (id != trash && !onlyTrash) {
						unreadThreads[thread] = true
					}
				}
			}
		}
		got := []any{box["totalEmails"], box["totalThreads"], box["unreadThreads"]}
		equal(t, "counts of "+id, got, []any{float64(len(all)), float64(len(threads)), float64(len(unreadThreads))})
	}
}

// attack calls every method as the visitor, with ids that it should not know, and looks for the canary.
func (w *sharedWorld) attack(t *testing.T, boxes, emails []string) {
	t.Helper()
	var blobs, threads []string
	emails = slices.DeleteFunc(slices.Clone(emails), func(id string) bool { return w.record(id) == nil })
	for _, id := range emails {
		if m := w.record(id); m != nil {
			blobs = append(blobs, "B"+m.Blob, "V"+m.Blob+m.ID, "P"+m.Blob+"-0-z-n", "W"+m.Blob+m.ID+"-0-z-n")
			threads = append(threads, m.Thread)
		}
	}
	mine, drop := w.v.role("inbox"), object{}
	for i, id := range emails {
		drop[fmt.Sprint("c", i)] = object{"id": id, "mailboxIds": object{mine: true}}
	}
	imports := object{}
	for i, id := range blobs {
		// Imports that succeed are emails of the next step: most are of what is hidden.
		if m := w.record(emails[i/4]); i >= 8 && !m.has(canary) {
			continue
		}
		imports[fmt.Sprint("i", i)] = object{"blobId": id, "mailboxIds": object{mine: true}}
	}
	calls := []struct {
		method string
		args   object
	}{
		{"Mailbox/get", object{"ids": nil}},
		{"Mailbox/get", object{"ids": boxes}},
		{"Mailbox/query", object{"sortAsTree": true, "filterAsTree": true}},
		{"Mailbox/changes", object{"sinceState": "1"}},
		{"Mailbox/queryChanges", object{"sinceQueryState": "1"}},
		{"Thread/get", object{"ids": threads}},
		{"Thread/changes", object{"sinceState": "1"}},
		{"Email/get", object{"ids": emails, "fetchAllBodyValues": true, "properties": append([]string{"headers", "bodyStructure"}, defaultEmail...)}},
		{"Email/query", object{"filter": object{"hasKeyword": canary}}},
		{"Email/query", object{"sort": []object{{"property": "from"}}, "collapseThreads": true, "calculateTotal": true}},
		{"Email/changes", object{"sinceState": "1"}},
		{"Email/queryChanges", object{"sinceQueryState": "1", "collapseThreads": true}},
		{"Email/parse", object{"blobIds": blobs, "fetchAllBodyValues": true}},
		{"SearchSnippet/get", object{"filter": object{"text": canary}, "emailIds": emails}},
		{"Blob/get", object{"ids": blobs}},
		{"Blob/lookup", object{"ids": blobs, "typeNames": lookupTypes}},
		{"Email/copy", object{"accountId": "a2", "onSuccessDestroyOriginal": false, "fromAccountId": "a1", "create": drop}},
		{"Blob/copy", object{"accountId": "a2", "fromAccountId": "a1", "blobIds": blobs}},
		{"Quota/get", object{"ids": nil}},
		{"Email/set", object{"update": w.patches(emails), "destroy": []string{"m9"}}},
		{"Mailbox/set", object{"create": object{"x": object{"name": canary[:5], "parentId": boxes[0]}}, "update": object{boxes[len(boxes)-1]: object{"name": "x"}}, "destroy": boxes[len(boxes)-1:]}},
		{"Email/import", object{"emails": imports}},
		{"Blob/upload", object{"create": object{"u": object{"data": []object{{"blobId": append(blobs, "Bx")[0]}}}}}},
	}
	for _, c := range calls {
		if c.args["accountId"] == nil {
			c.args["accountId"] = "a1"
		}
		answer := w.v.requests([]string{jmap.CoreCapability, CapabilityURI, BlobCapabilityURI, QuotaCapabilityURI}, []any{c.method, c.args, "c"})
		raw, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), canary) {
			t.Errorf("%s tells the canary: %s", c.method, raw)
		}
	}
	for _, id := range w.v.query(object{}) {
		if got := w.v.get(id, nil, "from", "keywords", "preview"); strings.Contains(fmt.Sprint(got), canary) {
			t.Errorf("the canary was copied: %v", got)
		}
	}
	for _, id := range blobs {
		r, _, err := w.d.service.BlobsFor(w.v.visiting()).Open(t.Context(), "a1", id)
		if err != nil {
			continue
		}
		if data, err := io.ReadAll(r); err != nil || strings.Contains(string(data), canary) {
			t.Errorf("blob %s tells the canary, or %v", id, err)
		}
		r.Close()
	}
}

// patches marks every email that the visitor does not see.
func (w *sharedWorld) patches(emails []string) object {
	out := object{}
	for _, id := range emails {
		if !w.sees(id) {
			out[id] = object{"subject": canary[:5], "keywords/x": true}
		}
	}
	return out
}
