package mail

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// limit gives accounts a quota.
func (d *desk) limit(octets, emails int64) {
	d.service.opts.Quota = Quota{Octets: octets, Emails: emails}
}

// used returns what the quotas tell of an account: octets and emails.
func (d *desk) used() [2]int64 {
	d.tb.Helper()
	var out [2]int64
	for _, q := range list(d.call("Quota/get", object{"ids": nil})["list"]) {
		at := 0
		if q["id"] == "count" {
			at = 1
		}
		out[at] = int64(q["used"].(float64))
	}
	return out
}

// counted counts the emails of an account anew.
func (d *desk) counted() [2]int64 {
	d.tb.Helper()
	var out [2]int64
	err := eachEmail(d.tb.Context(), d.engine, d.principal.AccountID, func(m *email) { out[0] += m.Size; out[1]++ })
	if err != nil {
		d.tb.Fatal(err)
	}
	return out
}

// TestQuotasTellWhatAnAccountHolds follows RFC 9425 section 4.
func TestQuotasTellWhatAnAccountHolds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	equal(t, "without limits", len(list(d.call("Quota/get", object{"ids": nil})["list"])), 0)
	d.limit(1000, 10)
	message := mime("hello", "Subject: hello")
	d.add(d.role("inbox"), message)
	out := d.call("Quota/get", object{"ids": []string{"octets", "x"}})
	equal(t, "quota", out["list"], normal(t, []object{{
		"id": "octets", "resourceType": "octets", "used": len(message), "hardLimit": 1000, "warnLimit": 900, "softLimit": nil, "scope": "account",
		"name": "Size of all emails", "description": "When the limit is reached, no more mail is taken.", "types": []string{"Email"},
	}}))
	equal(t, "not found", strs(out["notFound"]), []string{"x"})
	out = d.call("Quota/get", object{"ids": []string{"count"}, "properties": []string{"used"}})
	equal(t, "properties", out["list"], normal(t, []object{{"id": "count", "used": 1}}))
	equal(t, "unknown property", d.refused("Quota/get", object{"ids": nil, "properties": []string{"x"}}), jmap.ErrorInvalidArguments)

	before := str(out["state"])
	d.add(d.role("inbox"), message)
	changes := d.call("Quota/changes", object{"sinceState": before})
	equal(t, "updated", strs(changes["updated"]), []string{"count", "octets"})
	equal(t, "updatedProperties", strs(changes["updatedProperties"]), []string{"used"})
	equal(t, "state", changes["newState"], any(d.state("Quota/get")))
	states, err := d.service.States(t.Context(), "a1")
	equal(t, "pushed state", []any{states["Quota"], err}, []any{d.state("Quota/get"), nil})
	equal(t, "nothing more", d.call("Quota/changes", object{"sinceState": changes["newState"]})["updatedProperties"], nil)
	equal(t, "unknown state", d.refused("Quota/changes", object{"sinceState": "999"}), jmap.ErrorCannotCalculateChanges)
}

func TestQuotasAreQueried(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.limit(1000, 10)
	d.add(d.role("inbox"), mime("hello", "Subject: hello"))
	tests := map[string]struct {
		args object
		want []string
	}{
		"all":             {object{}, []string{"count", "octets"}},
		"by name":         {object{"filter": object{"name": "SIZE"}}, []string{"octets"}},
		"by scope":        {object{"filter": object{"scope": "domain"}}, []string{}},
		"by resource":     {object{"filter": object{"resourceType": "count", "scope": "account"}}, []string{"count"}},
		"by type":         {object{"filter": object{"type": "Email"}}, []string{"count", "octets"}},
		"by another type": {object{"filter": object{"type": "Mailbox"}}, []string{}},
		"sorted by name":  {object{"sort": []object{{"property": "name", "isAscending": false}}}, []string{"octets", "count"}},
		"sorted by used":  {object{"sort": []object{{"property": "used", "isAscending": false}}}, []string{"octets", "count"}},
		"a part":          {object{"position": 1, "limit": 1}, []string{"octets"}},
	}
	for name, tc := range tests {
		equal(t, name, strs(d.call("Quota/query", tc.args)["ids"]), tc.want)
	}
	equal(t, "unknown sort", d.refused("Quota/query", object{"sort": []object{{"property": "id"}}}), jmap.ErrorUnsupportedSort)
	equal(t, "unknown collation", d.refused("Quota/query", object{"sort": []object{{"property": "name", "collation": "x"}}}), jmap.ErrorUnsupportedSort)
	equal(t, "sort with a stranger", d.refused("Quota/query", object{"sort": []object{{"property": "name", "x": 1}}}), jmap.ErrorInvalidArguments)
	equal(t, "unknown filter", d.refused("Quota/query", object{"filter": object{"x": 1}}), jmap.ErrorUnsupportedFilter)
	state := str(d.call("Quota/query", object{})["queryState"])
	d.add(d.role("inbox"), mime("again", "Subject: again"))
	out := d.call("Quota/queryChanges", object{"sinceQueryState": state, "calculateTotal": true})
	equal(t, "removed", strs(out["removed"]), []string{"count", "octets"})
	equal(t, "added", len(list(out["added"])), 2)
	equal(t, "total", out["total"], any(2.0))
	equal(t, "unknown state", d.refused("Quota/queryChanges", object{"sinceQueryState": "999"}), jmap.ErrorCannotCalculateChanges)
}

func TestFullAccountTakesNoMore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	from := d.neighbour("agency/agency", "a2", false)
	other := from.add(from.role("inbox"), mime("hello", "Subject: hello"))
	message := mime("hello", "Subject: hello")
	mailboxes := []string{d.role("inbox")}
	inbox := object{mailboxes[0]: true}
	first, blob := d.add(d.role("inbox"), message), d.upload(message)
	for name, limits := range map[string][2]int64{"of octets": {int64(len(message)) + 1, 0}, "of emails": {0, 1}} {
		d.limit(limits[0], limits[1])
		for method, args := range map[string]object{
			"Email/set":    {"create": object{"x": object{"mailboxIds": inbox, "subject": "hello"}}},
			"Email/import": {"emails": object{"x": object{"blobId": blob, "mailboxIds": inbox}}},
			"Email/copy":   {"fromAccountId": "a2", "create": object{"x": object{"id": other, "mailboxIds": inbox}}},
		} {
			refused := d.call(method, args)["notCreated"].(object)["x"].(object)
			equal(t, method+" "+name, refused["type"], any(jmap.SetErrorOverQuota))
			if !strings.Contains(str(refused["description"]), "to make room") {
				t.Errorf("%s: %v does not tell the remedy", method, refused)
			}
		}
		err := d.service.journal.Update(t.Context(), "a1", func(tx *store.Tx) error {
			e := newEdit(t.Context(), d.service, tx, "a1", "agency/agency")
			_, err := e.addMessage(&incoming{data: []byte(message), mailboxes: mailboxes})
			return err
		})
		if !errors.Is(err, delivery.ErrFull) {
			t.Errorf("delivery %s: %v", name, err)
		}
	}
	d.limit(int64(len(message)), 0)
	if _, _, err := d.service.Put(t.Context(), "a1", "", strings.NewReader("x")); !errors.Is(err, jmap.ErrOverQuota) {
		t.Errorf("upload: %v", err)
	}
	if _, err := d.service.Copy(t.Context(), "a2", "a1", str(from.get(other, nil, "blobId")["blobId"])); !errors.Is(err, jmap.ErrOverQuota) {
		t.Errorf("copy of a blob: %v", err)
	}
	d.limit(int64(len(message))+5, 0)
	if _, _, err := d.service.Put(t.Context(), "a1", "", strings.NewReader("large one")); !errors.Is(err, jmap.ErrOverQuota) {
		t.Errorf("upload that is too large: %v", err)
	}
	d.call("Email/set", object{"destroy": []string{first}})
	d.limit(int64(len(message)), 1)
	d.add(d.role("inbox"), message)
}

// TestAccountOfAnEarlierVersionIsCountedOnce changes accounts from which the record was taken away.
func TestAccountOfAnEarlierVersionIsCountedOnce(t *testing.T) {
	t.Parallel()
	changes := map[string]func(d *desk, id string){
		"by a look": func(*desk, string) {},
		"by an email that comes": func(d *desk, _ string) {
			d.add(d.role("inbox"), mime("more", "Subject: more"))
		},
		"by an email that goes": func(d *desk, id string) {
			d.call("Email/set", object{"destroy": []string{id}})
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.limit(1_000_000, 1000)
			var id string
			for range 3 {
				id = d.add(d.role("inbox"), mime("hello", "Subject: hello"))
			}
			b := &store.Batch{}
			b.Delete(keys("a1").usage())
			if err := d.engine.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			change(d, id)
			equal(t, "used", d.used(), d.counted())
			if _, recorded, err := readUsage(t.Context(), d.engine, "a1"); !recorded || err != nil {
				t.Errorf("recorded: %t, %v", recorded, err)
			}
			equal(t, "used again", d.used(), d.counted())
		})
	}
}

func TestUsageIsRightAfterRandomChanges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.limit(2000, 12)
			r := rand.New(rand.NewPCG(seed, 1))
			inbox, archive := d.role("inbox"), d.role("archive")
			for step := range 60 {
				all := d.query(object{})
				random := func() string {
					if len(all) == 0 {
						return "m0"
					}
					return all[r.IntN(len(all))]
				}
				switch r.IntN(5) {
				case 0, 1:
					boxes := object{inbox: true}
					if r.IntN(2) == 0 {
						boxes[archive] = true
					}
					d.call("Email/set", object{"create": object{
						"x": object{"mailboxIds": boxes, "subject": strings.Repeat("x", r.IntN(300))},
						"y": object{"mailboxIds": object{inbox: true}, "subject": "y"},
					}})
				case 2:
					d.call("Email/set", object{"destroy": []string{random(), random()}})
				case 3:
					d.call("Email/set", object{"update": object{random(): object{"mailboxIds": object{archive: true}}}, "destroy": []string{random()}})
				case 4:
					out := d.call("Mailbox/set", object{"create": object{"b": object{"name": fmt.Sprint("Box ", step)}}})
					box := str(out["created"].(object)["b"].(object)["id"])
					d.call("Email/set", object{"update": object{random(): object{"mailboxIds": object{box: true}}}})
					d.call("Mailbox/set", object{"destroy": []string{box}, "onDestroyRemoveEmails": true})
				}
				if got, want := d.used(), d.counted(); got != want {
					t.Fatalf("step %d: used %v, counted %v", step, got, want)
				}
			}
		})
	}
}
