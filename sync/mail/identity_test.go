package mail

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestAccountsHaveAnIdentityOfTheirAddress(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	out := o.ann.call("Identity/get", object{"ids": nil})
	id := o.ann.identity()
	equal(t, "list", list(out["list"]), []object{{
		"id": id, "name": "Ann Ash", "email": "ann@agency.us", "replyTo": nil, "bcc": nil, "textSignature": "", "htmlSignature": "",
		"mayDelete": false,
	}})
	equal(t, "changes", o.ann.call("Identity/changes", object{"sinceState": "0"})["created"], normal(t, []string{id}))
	out = o.ann.call("Identity/get", object{"ids": []string{id, "i9"}, "properties": []string{"email"}})
	equal(t, "properties", list(out["list"]), []object{{"id": id, "email": "ann@agency.us"}})
	equal(t, "notFound", strs(out["notFound"]), []string{"i9"})
	equal(t, "unknown property", o.ann.refused("Identity/get", object{"properties": []string{"phone"}}), jmap.ErrorInvalidArguments)
	equal(t, "bad state", o.ann.refused("Identity/changes", object{"sinceState": "x"}), jmap.ErrorCannotCalculateChanges)
	o.ann.limits.MaxObjectsInGet = 0
	equal(t, "more than the limit", o.ann.refused("Identity/get", object{"ids": nil}), jmap.ErrorRequestTooLarge)
}

func TestIdentitiesAreMadeChangedAndDestroyed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.principal.Sending = []jmap.SendingRight{{Address: "desk@agency.us", OnBehalf: true}}
	state := o.ann.state("Identity/get")
	reply := []object{{"name": "Desk", "email": "desk@agency.us"}}
	out := o.ann.call("Identity/set", object{"ifInState": state, "create": object{
		"a": object{"email": "Ann@agency.us", "name": "A"}, "b": object{"email": "desk@agency.us", "replyTo": reply, "textSignature": "x"},
	}})
	equal(t, "states", []any{out["oldState"], out["newState"]}, []any{state, o.ann.state("Identity/get")})
	a, b := out["created"].(object)["a"].(object), out["created"].(object)["b"].(object)
	equal(t, "created", a, object{"id": a["id"], "replyTo": nil, "bcc": nil, "textSignature": "", "htmlSignature": "", "mayDelete": true})
	id := str(b["id"])
	out = o.ann.call("Identity/set", object{"update": object{id: object{
		"name": "The Desk", "replyTo": nil, "bcc": []object{{"name": nil, "email": "bob@agency.us"}}, "htmlSignature": "<b>x</b>", "textSignature": nil, "email": "desk@agency.us",
	}}})
	equal(t, "updated", out["updated"], any(object{id: nil}))
	equal(t, "after", list(o.ann.call("Identity/get", object{"ids": []string{id}})["list"])[0], object{
		"id": id, "name": "The Desk", "email": "desk@agency.us", "replyTo": nil, "bcc": []any{object{"name": nil, "email": "bob@agency.us"}},
		"textSignature": "", "htmlSignature": "<b>x</b>", "mayDelete": true,
	})
	out = o.ann.call("Identity/set", object{"destroy": []string{id, o.ann.identity(), "i9"}, "update": object{id: object{"name": "x"}}})
	equal(t, "destroyed", strs(out["destroyed"]), []string{id})
	equal(t, "default stays", out["notDestroyed"].(object)[o.ann.identity()].(object)["type"], any("forbidden"))
	equal(t, "unknown", out["notDestroyed"].(object)["i9"].(object)["type"], any("notFound"))
	equal(t, "updated and destroyed", out["notUpdated"].(object)[id].(object)["type"], any("willDestroy"))
	changes := o.ann.call("Identity/changes", object{"sinceState": state})
	equal(t, "changes", []any{strs(changes["created"]), strs(changes["destroyed"])}, []any{[]string{str(a["id"])}, []string{}})
}

func TestIdentitiesAreRefusedByName(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	long := strings.Repeat("x", maxSignature+1)
	for name, c := range map[string]struct {
		create object
		kind   string
		wrong  []string
	}{
		"no address":       {object{"name": "x"}, "invalidProperties", []string{"email"}},
		"not an address":   {object{"email": "ann"}, "invalidProperties", []string{"email"}},
		"foreign":          {object{"email": "eve@other.us"}, "forbiddenFrom", []string{}},
		"whole domain":     {object{"email": "*@agency.us"}, "forbiddenFrom", []string{}},
		"server-set":       {object{"email": "ann@agency.us", "mayDelete": true}, "invalidProperties", []string{"mayDelete"}},
		"wrong type":       {object{"email": "ann@agency.us", "name": 1}, "invalidProperties", []string{"name"}},
		"reply to nowhere": {object{"email": "ann@agency.us", "replyTo": []object{{"email": "x"}}}, "invalidProperties", []string{"replyTo"}},
		"long signature":   {object{"email": "ann@agency.us", "htmlSignature": long}, "invalidProperties", []string{"htmlSignature"}},
		"long name":        {object{"email": "ann@agency.us", "name": long}, "invalidProperties", []string{"name"}},
	} {
		out := o.ann.call("Identity/set", object{"create": object{"i": c.create}})
		refused := out["notCreated"].(object)["i"].(object)
		equal(t, name, []any{refused["type"], strs(refused["properties"])}, []any{c.kind, c.wrong})
	}
	id := o.ann.identity()
	for name, c := range map[string]struct {
		id    string
		patch object
		kind  string
	}{
		"address":        {id, object{"email": "desk@agency.us"}, "invalidProperties"},
		"no address":     {id, object{"email": nil}, "invalidProperties"},
		"mayDelete":      {id, object{"mayDelete": true}, "invalidProperties"},
		"long":           {id, object{"textSignature": long}, "invalidProperties"},
		"wrong type":     {id, object{"name": 1}, "invalidProperties"},
		"pointer":        {id, object{"name/x": "y"}, "invalidPatch"},
		"does not exist": {"i9", object{"name": "x"}, "notFound"},
	} {
		out := o.ann.call("Identity/set", object{"update": object{c.id: c.patch}})
		equal(t, name, out["notUpdated"].(object)[c.id].(object)["type"], any(c.kind))
	}
	create := object{}
	for i := range maxIdentities {
		create[fmt.Sprintf("i%d", i)] = object{"email": "ann@agency.us"}
	}
	out := o.ann.call("Identity/set", object{"create": create})
	equal(t, "created", len(out["created"].(object)), maxIdentities-1)
	for _, refused := range out["notCreated"].(object) {
		equal(t, "one too many", refused.(object)["type"], any("overQuota"))
	}
	equal(t, "state mismatch", o.ann.refused("Identity/set", object{"ifInState": "x"}), jmap.ErrorStateMismatch)
}

func TestPathsAreReadAsAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"Ann@Agency.US": "ann@agency.us", `"ann"@agency.us`: "ann@agency.us", `"a\"b c"@x.us`: `a"b c@x.us`,
		"ann+tag@x-y.us": "ann+tag@x-y.us", "ann@[127.0.0.1]": "ann@[127.0.0.1]", "ann@[IPv6:::1]": "ann@[ipv6:::1]",
		"jörg@exämple.de": "jörg@xn--exmple-cua.de", "a@b": "a@b", "o'neil@x.us": "o'neil@x.us", "a_b@c_d.us": "a_b@c_d.us",
		"": "", "ann": "", "@x.us": "", "ann@": "", "a..b@x.us": "", ".a@x.us": "", "a b@x.us": "", "ann@x..us": "", "ann@-x.us": "",
		"ann@x.us.": "", "ann@[127.0.0]": "", "ann@[::1]": "", "ann@[IPv6:127.0.0.1]": "", "ann@[127.0.0.1": "", "a\r\n@x.us": "", `"a@x.us`: "", `""@x.us`: "",
		"ann@x us": "", "ann@x.us>": "", "<ann@x.us": "", "a@b@c": "", "ann@\xff.us": "", `"a\"@x.us`: "", "\"a\x01\"@x.us": "",
		strings.Repeat("a", 65) + "@x.us": "", "a@" + strings.Repeat("b", 64) + ".us": "",
	} {
		p, ok := parsePath(address)
		got := ""
		if ok {
			got = p.key()
		}
		equal(t, address, got, want)
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"ann@agency.us", `"a\"b"@x.us`, "jörg@exämple.de", "a@[IPv6:::1]", "a@b@c", "\xff@x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		p, ok := parsePath(address)
		if !ok {
			return
		}
		if strings.ContainsAny(p.key(), "\r\n\x00") || p.local == "" || p.domain == "" {
			t.Errorf("%q became %q", address, p.key())
		}
		if strings.ToLower(address) != address {
			return
		}
		if again, ok := parsePath(address); !ok || again != p {
			t.Errorf("%q is read differently a second time", address)
		}
	})
}
