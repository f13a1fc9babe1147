package mail

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime/smimetest"
)

const annAddress = "ann@agency.us"

// smimeDesk is a desk whose tenant uses S/MIME.
type smimeDesk struct {
	*desk

	root, signer *smimetest.Identity
	trust        *smime.Trust
	inbox        string
}

func newSMIMEDesk(t *testing.T) *smimeDesk {
	t.Helper()
	d := &smimeDesk{desk: newDesk(t), root: smimetest.NewRoot(t)}
	d.signer = d.root.Issue(t, annAddress, func(r *smimetest.Request) {
		r.NotAfter = d.at.Add(30 * 24 * time.Hour)
	})
	d.service.opts.Trust = func(string) *smime.Trust { return d.trust }
	d.service.opts.Colleague = func(_, address string) bool { return strings.HasSuffix(address, "@agency.us") }
	d.believe(d.root)
	d.inbox = d.role("inbox")
	return d
}

// believe makes roots those of the tenant.
func (d *smimeDesk) believe(roots ...*smimetest.Identity) {
	d.tb.Helper()
	var text strings.Builder
	for _, root := range roots {
		text.WriteString(root.PEM())
	}
	var err error
	if d.trust, err = smime.NewTrust(text.String(), ""); err != nil {
		d.tb.Fatal(err)
	}
}

// ask calls a method in a request that uses the capability.
func (d *smimeDesk) ask(method string, args object) (object, error) {
	d.tb.Helper()
	args["accountId"] = d.principal.AccountID
	raw, err := json.Marshal(args)
	if err != nil {
		d.tb.Fatal(err)
	}
	call := &jmap.Call{
		Principal: d.principal, Name: method, Args: raw, CreatedIDs: d.created, Limits: &d.limits,
		Using: map[string]bool{CapabilityURI: true, SMIMEVerifyURI: true, SMIMECertificateURI: true},
	}
	run := d.service.Capability().Methods[method]
	for _, c := range d.service.SMIMECapabilities() {
		if c.Methods[method] != nil {
			run = c.Methods[method]
		}
	}
	result, err := run(d.tb.Context(), call)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		d.tb.Fatal(err)
	}
	var out object
	if err := json.Unmarshal(encoded, &out); err != nil {
		d.tb.Fatal(err)
	}
	return out, nil
}

func (d *smimeDesk) must(method string, args object) object {
	d.tb.Helper()
	out, err := d.ask(method, args)
	if err != nil {
		d.tb.Fatalf("%s: %v", method, err)
	}
	return out
}

// signature returns the properties of RFC 9219 of an email.
func (d *smimeDesk) signature(id string) object {
	d.tb.Helper()
	out := d.must("Email/get", object{"ids": []string{id}, "properties": smimeProperties})
	email := list(out["list"])[0]
	delete(email, "id")
	return email
}

// state is the state of emails.
func (d *smimeDesk) state() string {
	d.tb.Helper()
	return str(d.call("Email/get", object{"ids": []string{}})["state"])
}

// updated lists the emails that changed since a state.
func (d *smimeDesk) updated(since string) []any {
	d.tb.Helper()
	out, _ := d.call("Email/changes", object{"sinceState": since})["updated"].([]any)
	return out
}

func (d *smimeDesk) found(filter object) []string {
	d.tb.Helper()
	out, _ := d.must("Email/query", object{"filter": filter, "sort": []object{{"property": "receivedAt", "isAscending": true}}})["ids"].([]any)
	ids := []string{}
	for _, id := range out {
		ids = append(ids, str(id))
	}
	return ids
}

func (d *smimeDesk) signed() string {
	return smimetest.Multipart(d.tb, d.signer, annAddress, smimetest.Text, smimetest.Options{})
}

func TestSignaturesAreToldWhenTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	good := d.add(d.inbox, d.signed())
	at := d.at.Format("2006-01-02T15:04:05Z")
	tampered := d.add(d.inbox, strings.Replace(d.signed(), "noon", "nine", 1))
	plain := d.add(d.inbox, smimetest.Header(annAddress)+smimetest.Text)
	foreign := d.add(d.inbox, strings.Replace(d.signed(), "application/pkcs7-signature\"", "application/pgp-signature\"", 1))
	opaque := d.add(d.inbox, smimetest.Opaque(annAddress, smimetest.Sign(t, d.signer, []byte(smimetest.Text), smimetest.Options{Enclosed: true}), "signed-data"))

	for id, want := range map[string]object{
		good: {"smimeStatus": "signed/verified", "smimeStatusAtDelivery": "signed/verified", "smimeErrors": nil, "smimeVerifiedAt": at},
		tampered: {
			"smimeStatus": "signed/failed", "smimeStatusAtDelivery": "signed/failed",
			"smimeErrors": []any{"the content was changed after it was signed"}, "smimeVerifiedAt": "2026-11-23T12:02:00Z",
		},
		plain:   {"smimeStatus": nil, "smimeStatusAtDelivery": nil, "smimeErrors": nil, "smimeVerifiedAt": nil},
		foreign: {"smimeStatus": "unknown", "smimeStatusAtDelivery": "unknown", "smimeErrors": nil, "smimeVerifiedAt": nil},
		opaque:  {"smimeStatus": "signed/verified", "smimeStatusAtDelivery": "signed/verified", "smimeErrors": nil, "smimeVerifiedAt": "2026-11-23T12:05:00Z"},
	} {
		if diff := cmp.Diff(want, d.signature(id)); diff != "" {
			t.Errorf("email %s: -want +got:\n%s", id, diff)
		}
	}
	with := list(d.must("Email/get", object{"ids": []string{good}, "properties": []string{"subject", "smimeStatus"}})["list"])[0]
	if diff := cmp.Diff(object{"id": good, "subject": "Signed", "smimeStatus": "signed/verified"}, with); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSignaturesOfMailThatWasDeliveredAreVerified(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	id := d.receive(d.signed())
	equal(t, "status", d.signature(id)["smimeStatusAtDelivery"], any("signed/verified"))
	equal(t, "found", d.found(object{"hasSmime": true}), []string{id})
}

func TestSignaturesAreNotKnownWithoutTheCapability(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	id := d.add(d.inbox, d.signed())
	if got := d.refused("Email/get", object{"ids": []string{id}, "properties": []string{"smimeStatus"}}); got != "invalidArguments" {
		t.Errorf("Email/get: %s", got)
	}
	if got := d.refused("Email/query", object{"filter": object{"operator": "NOT", "conditions": []object{{"hasSmime": true}}}}); got != "unsupportedFilter" {
		t.Errorf("Email/query: %s", got)
	}
	if all := list(d.must("Email/get", object{"ids": []string{id}})["list"])[0]; all["smimeStatus"] != nil {
		t.Error("smimeStatus is among the default properties")
	}
	_, err := d.ask("Email/parse", object{"blobIds": []string{"x"}, "properties": []string{"smimeStatus"}})
	if refused, ok := errors.AsType[*jmap.MethodError](err); !ok || refused.Type != "invalidArguments" {
		t.Errorf("Email/parse: %v", err)
	}
}

func TestEmailsAreFoundByTheirSignatures(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	good := d.add(d.inbox, d.signed())
	tampered := d.add(d.inbox, strings.Replace(d.signed(), "noon", "nine", 1))
	plain := d.add(d.inbox, smimetest.Header(annAddress)+smimetest.Text)
	for _, c := range []struct {
		filter object
		want   []string
	}{
		{object{"hasSmime": true}, []string{good, tampered}},
		{object{"hasSmime": false}, []string{plain}},
		{object{"hasVerifiedSmime": true}, []string{good}},
		{object{"hasVerifiedSmime": false}, []string{tampered, plain}},
		{object{"hasVerifiedSmimeAtDelivery": true, "inMailbox": d.inbox}, []string{good}},
		{object{"hasVerifiedSmimeAtDelivery": false}, []string{tampered, plain}},
		{object{"hasSmime": true, "hasVerifiedSmime": false}, []string{tampered}},
	} {
		if diff := cmp.Diff(c.want, d.found(c.filter)); diff != "" {
			t.Errorf("%v: -want +got:\n%s", c.filter, diff)
		}
	}
	d.at = d.at.Add(40 * 24 * time.Hour)
	if diff := cmp.Diff([]string{}, d.found(object{"hasVerifiedSmime": true})); diff != "" {
		t.Errorf("after the certificate expired: -want +got:\n%s", diff)
	}
	if got := d.found(object{"hasVerifiedSmimeAtDelivery": true}); !slices.Equal(got, []string{good}) {
		t.Errorf("at delivery: %v", got)
	}
	out := d.must("Email/query", object{"filter": object{"hasVerifiedSmime": true}})
	if out["canCalculateChanges"] != false {
		t.Error("changes can be calculated of what changes with time")
	}
	_, err := d.ask("Email/queryChanges", object{"filter": object{"hasVerifiedSmime": true}, "sinceQueryState": out["queryState"]})
	if refused, ok := errors.AsType[*jmap.MethodError](err); !ok || refused.Type != "cannotCalculateChanges" {
		t.Errorf("Email/queryChanges: %v", err)
	}
}

func TestOutcomesThatTurnAreChangesAndOthersAreNoWrites(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	id := d.add(d.inbox, d.signed())
	state, first := d.state(), d.at
	step := func(pass time.Duration, status, delivery string, verified time.Time, change bool) {
		t.Helper()
		d.at = d.at.Add(pass)
		before := d.state()
		got := d.signature(id)
		if got["smimeStatus"] != status || got["smimeStatusAtDelivery"] != delivery || got["smimeVerifiedAt"] != verified.Format("2006-01-02T15:04:05Z") {
			t.Errorf("after %s: %v", d.at.Sub(first), got)
		}
		if changed := len(d.updated(before)) > 0; changed != change {
			t.Errorf("after %s: told as a change: %v", d.at.Sub(first), changed)
		}
	}
	const good, bad = "signed/verified", "signed/failed"
	step(9*time.Minute, good, good, first, false)
	step(2*time.Minute, good, good, first.Add(11*time.Minute), false)
	step(9*time.Minute, good, good, first.Add(11*time.Minute), false)
	if d.state() != state {
		t.Error("verifying anew changed the state")
	}
	d.believe()
	step(0, bad, good, d.at, true)
	step(time.Minute, bad, good, d.at, false)
	d.believe(d.root, smimetest.NewRoot(t))
	step(0, good, good, d.at, true)
	step(40*24*time.Hour, bad, good, d.at.Add(40*24*time.Hour), true)
	if got := d.signature(id)["smimeErrors"]; !strings.Contains(str(got.([]any)[0]), "not valid at this time") {
		t.Errorf("errors: %v", got)
	}
}

func TestTrustThatIsAddedLaterCountsForDeliveryToo(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	d.believe()
	id := d.add(d.inbox, d.signed())
	if got := d.signature(id); got["smimeStatusAtDelivery"] != "signed/failed" {
		t.Fatalf("before: %v", got)
	}
	d.at = d.at.Add(40 * 24 * time.Hour)
	d.believe(d.root)
	if got := d.signature(id); got["smimeStatusAtDelivery"] != "signed/verified" || got["smimeStatus"] != "signed/failed" {
		t.Errorf("after: %v", got)
	}
}

func TestMailFromBeforeTheFeatureIsVerifiedWhenItIsOn(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	d.trust = nil
	id := d.add(d.inbox, d.signed())
	if diff := cmp.Diff(object{"smimeStatus": "signed", "smimeStatusAtDelivery": "signed", "smimeErrors": nil, "smimeVerifiedAt": nil}, d.signature(id)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	d.believe(d.root)
	before := d.state()
	if got := d.found(object{"hasVerifiedSmime": true}); !slices.Equal(got, []string{id}) {
		t.Errorf("found %v", got)
	}
	if !slices.Equal(d.updated(before), []any{id}) {
		t.Error("what the query found out is no change")
	}
	d.call("Email/set", object{"destroy": []string{id}})
	if _, err := d.engine.Get(t.Context(), keys("a1").signature(id)); err == nil {
		t.Error("the verification outlives its email")
	}
}

func TestStatusesAreTheServersToSet(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	id := d.add(d.inbox, d.signed())
	out, err := d.ask("Email/set", object{"update": object{id: object{"smimeStatus": "signed/verified", "keywords/$seen": true}}})
	if err != nil || out["notUpdated"] != nil {
		t.Errorf("a patch that leaves smimeStatus as it is: %v, %v", out, err)
	}
	out, err = d.ask("Email/set", object{"update": object{id: object{"smimeStatus": "signed/failed"}}})
	if err != nil || out["notUpdated"] == nil {
		t.Errorf("a patch of smimeStatus: %v, %v", out, err)
	}
	out, err = d.ask("Email/set", object{"create": object{"c": object{"mailboxIds": object{d.inbox: true}, "smimeStatus": "signed/verified"}}})
	if err != nil || out["notCreated"] == nil {
		t.Errorf("an email created with smimeStatus: %v, %v", out, err)
	}
}

func TestCertificatesOfColleaguesAreFound(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	key := smimetest.RSA(t, 2048)
	issue := func(address string, days int) *smimetest.Identity {
		return d.root.Issue(t, address, smimetest.WithKey(key), func(r *smimetest.Request) {
			r.NotBefore = smimetest.NotBefore.Add(time.Duration(days) * 24 * time.Hour)
			r.KeyUsage |= 1 << 2 // keyEncipherment
		})
	}
	send := func(i *smimetest.Identity, from string, change func(string) string) {
		d.add(d.inbox, change(smimetest.Multipart(t, i, from, smimetest.Text, smimetest.Options{})))
	}
	as := func(s string) string { return s }
	var newest *smimetest.Identity
	for days := range maxCertificates + 2 {
		newest = issue(annAddress, days)
		send(newest, annAddress, as)
		send(newest, annAddress, as)
	}
	send(issue("eve@evil.example", 0), "eve@evil.example", as)
	send(issue("bob@agency.us", 0), "bob@agency.us", func(s string) string { return strings.Replace(s, "noon", "nine", 1) })

	get := func(addresses ...string) object {
		return d.must("SMIMECertificate/get", object{"addresses": addresses})
	}
	out := get("Ann@AGENCY.us", "bob@agency.us", "eve@evil.example")
	found := list(out["list"])
	if len(found) != maxCertificates || found[0]["certificate"] != base64.StdEncoding.EncodeToString(newest.Certificate.Raw) || found[0]["address"] != "Ann@AGENCY.us" {
		t.Errorf("found %v", found)
	}
	if diff := cmp.Diff([]any{"bob@agency.us", "eve@evil.example"}, out["notFound"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if found[0]["notBefore"] != "2026-01-06T00:00:00Z" || found[0]["notAfter"] != "2028-01-01T00:00:00Z" || len(str(found[0]["fingerprint"])) != 64 {
		t.Errorf("found %v", found[0])
	}
	d.believe()
	if found := list(get(annAddress)["list"]); len(found) != 0 {
		t.Errorf("certificates that nobody trusts any more: %v", found)
	}
	for name, args := range map[string]object{
		"no addresses": {}, "no address": {"addresses": []string{"ann"}},
		"too long": {"addresses": []string{strings.Repeat("a", 300) + "@agency.us"}},
		"too many": {"addresses": make([]string, d.limits.MaxObjectsInGet+1)},
	} {
		if _, err := d.ask("SMIMECertificate/get", args); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAccountsHaveTheCapabilityWhileTheTenantUsesSMIME(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	service, err := jmap.NewService(jmap.Options{
		BaseURL: "https://mail.example", Limits: d.limits, Blobs: d.service,
		Capabilities: append(d.service.SMIMECapabilities(), d.service.Capability()),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{true, false} {
		if !on {
			d.trust = nil
		}
		session, err := service.Session(d.principal)
		if err != nil {
			t.Fatal(err)
		}
		for _, uri := range []string{SMIMEVerifyURI, SMIMECertificateURI} {
			_, account := session.Accounts["a1"].AccountCapabilities[uri]
			_, primary := session.PrimaryAccounts[uri]
			raw, err := json.Marshal(session.Capabilities[uri])
			if account != on || primary != on || err != nil || string(raw) != "{}" {
				t.Errorf("on %v, %s: account %v, primary %v, session %s, %v", on, uri, account, primary, raw, err)
			}
		}
	}
}

func TestTooManyMessagesAreNotVerifiedAtOnce(t *testing.T) {
	t.Parallel()
	d := newSMIMEDesk(t)
	d.trust = nil
	first, second := d.add(d.inbox, d.signed()), d.add(d.inbox, d.signed())
	d.believe(d.root)
	v := d.service.newVerifier("a1", d.principal.Tenant)
	v.left = 1
	for _, id := range []string{first, second} {
		m := &email{ID: id}
		if _, err := readJSON(t.Context(), d.engine, keys("a1").email(id), m); err != nil {
			t.Fatal(err)
		}
		_, err := v.of(t.Context(), d.engine, m, true)
		if refused, ok := errors.AsType[*jmap.MethodError](err); !ok || refused.Type != "serverUnavailable" {
			t.Errorf("email %s: %v", id, err)
		}
	}
}
