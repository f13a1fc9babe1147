package mail

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
)

const (
	internalID = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a0f"
	secretID   = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10"
)

// ledger remembers what was audited.
type ledger struct{ downgrades []label.Downgrade }

// Downgraded implements label.Audit.
func (l *ledger) Downgraded(_ context.Context, d label.Downgrade) {
	l.downgrades = append(l.downgrades, d)
}

// labelDesk is a desk whose tenant has two labels, and a client that knows of them.
func labelDesk(t *testing.T) (*desk, *ledger) {
	t.Helper()
	d, audited := newDesk(t), &ledger{}
	doc := &tenantdoc.Document{
		UID: "5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11", Features: tenantdoc.Features{SensitivityLabels: true},
		Labels: []tenantdoc.Label{
			{ID: internalID, Name: "Internal", Rank: 10},
			{
				ID: secretID, Name: "Secret", Rank: 30, Marking: tenantdoc.LabelMarking{Header: "SECRET", Footer: "Burn", SubjectPrefix: "[S]"},
				Protection: tenantdoc.LabelProtection{JustifyDowngrade: true},
			},
		},
	}
	d.service.opts.Labels = func(tenant string) *label.Set {
		if tenant != "agency/agency" {
			t.Errorf("labels of %q", tenant)
		}
		return label.Of(doc)
	}
	d.service.opts.Audit = audited
	d.using = map[string]bool{label.CapabilityURI: true}
	return d, audited
}

// carrying is a message with a label in its header.
func carrying(id string) string {
	return "From: a@x.example\r\nSubject: Hi\r\nmsip_labels: MSIP_Label_" + id + "_Enabled=true;\r\n MSIP_Label_" + id + "_Method=Standard\r\n\r\nHello\r\n"
}

func (d *desk) imported(content string) string {
	d.tb.Helper()
	out := d.call("Email/import", object{"emails": object{"m": object{"blobId": d.upload(content), "mailboxIds": object{d.role("inbox"): true}}}})
	return str(as(out["created"])["m"].(object)["id"])
}

func as(value any) object {
	o, _ := value.(object)
	return o
}

// labelOf reads the label of an email, and the blob that it is of.
func (d *desk) labelOf(id string) (label any, blob string) {
	d.tb.Helper()
	got := list(d.call("Email/get", object{"ids": []string{id}, "properties": []string{"blobId", "sensitivityLabel"}})["list"])[0]
	return got["sensitivityLabel"], str(got["blobId"])
}

func TestLabelIsReadFromTheHeader(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	for name, tc := range map[string]struct {
		content string
		want    any
	}{
		"labelled":                     {carrying(secretID), secretID},
		"plain":                        {"Subject: Hi\r\n\r\nHello\r\n", nil},
		"labelled by another tenant":   {carrying("00000000-6f6b-4c53-9d5a-2f8f0c1f7a10"), nil},
		"two fields, the highest wins": {"msip_labels: MSIP_Label_" + secretID + "_Enabled=true\r\n" + carrying(internalID), secretID},
	} {
		if got, _ := d.labelOf(d.imported(tc.content)); got != tc.want {
			t.Errorf("%s: label %v, want %v", name, got, tc.want)
		}
		blob := d.upload(tc.content)
		parsed := d.call("Email/parse", object{"blobIds": []string{blob}, "properties": []string{"sensitivityLabel"}})
		if got := as(as(parsed["parsed"])[blob])["sensitivityLabel"]; got != tc.want {
			t.Errorf("%s: parsed label %v, want %v", name, got, tc.want)
		}
	}
}

func TestLabelOfMailThatWasDeliveredIsRead(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	id := d.receive(carrying(secretID))
	if got, _ := d.labelOf(id); got != secretID {
		t.Errorf("label %v of delivered mail", got)
	}
}

func TestLabelsExistForClientsThatUseThem(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	id := d.imported(carrying(secretID))
	d.using = nil
	for method, args := range map[string]object{
		"Email/get":   {"ids": []string{id}, "properties": []string{"sensitivityLabel"}},
		"Email/parse": {"blobIds": []string{}, "properties": []string{"sensitivityLabel"}},
	} {
		if got := d.refused(method, args); got != "invalidArguments" {
			t.Errorf("%s: %s", method, got)
		}
	}
	if got := list(d.call("Email/get", object{"ids": []string{id}})["list"])[0]; got["sensitivityLabel"] != nil {
		t.Errorf("a client that does not know labels is told of one")
	}
	out := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": nil, "labelJustification": "x"}}})
	wantSetError(t, out["notUpdated"], id, "no such property without", "sensitivityLabel")
}

// wantSetError checks an invalidProperties error.
func wantSetError(t *testing.T, errors any, id, description string, properties ...string) {
	t.Helper()
	refused := as(as(errors)[id])
	if refused["type"] != "invalidProperties" || !strings.Contains(str(refused["description"]), description) || fmt.Sprint(refused["properties"]) != fmt.Sprint(properties) {
		t.Errorf("error %v, want %q about %v", refused, description, properties)
	}
}

func TestLabelIsSetBesideTheMessage(t *testing.T) {
	t.Parallel()
	d, audited := labelDesk(t)
	id := d.imported("Subject: Hi\r\n\r\nHello\r\n")
	_, blob := d.labelOf(id)
	state := d.call("Email/get", object{"ids": []string{}})["state"]
	out := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": secretID, "keywords/$seen": true}}})
	if _, ok := as(out["updated"])[id]; !ok {
		t.Fatalf("not updated: %v", out)
	}
	if got, same := d.labelOf(id); got != secretID || same != blob {
		t.Errorf("label %v of blob %s, want %s of %s", got, same, secretID, blob)
	}
	changes := d.call("Email/changes", object{"sinceState": state})
	if diff := cmp.Diff([]any{id}, changes["updated"]); diff != "" {
		t.Errorf("changes: %s", diff)
	}
	if len(audited.downgrades) != 0 {
		t.Errorf("a label that was raised is audited: %+v", audited.downgrades)
	}
	same := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": secretID}}})
	if same["oldState"] != same["newState"] {
		t.Error("a label that stays makes a change")
	}
}

func TestDowngradeNeedsAReasonAndIsAudited(t *testing.T) {
	t.Parallel()
	d, audited := labelDesk(t)
	id := d.imported(carrying(secretID))
	for name, patch := range map[string]object{
		"no reason":    {"sensitivityLabel": internalID},
		"removal":      {"sensitivityLabel": nil},
		"empty":        {"sensitivityLabel": internalID, "labelJustification": " "},
		"reason alone": {"labelJustification": "because"},
		"a number":     {"sensitivityLabel": internalID, "labelJustification": 7},
	} {
		out := d.call("Email/set", object{"update": object{id: patch}})
		t.Log(name)
		wantSetError(t, out["notUpdated"], id, "labelJustification", "labelJustification")
	}
	if got, _ := d.labelOf(id); got != secretID || len(audited.downgrades) != 0 {
		t.Fatalf("label %v, audited %+v", got, audited.downgrades)
	}
	d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": internalID, "labelJustification": "published"}}})
	d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": nil}}})
	if got, _ := d.labelOf(id); got != nil {
		t.Errorf("label %v after it was taken off", got)
	}
	want := []label.Downgrade{
		{Tenant: "agency/agency", Actor: "a1", Account: "a1", Email: id, From: secretID, To: internalID, JustificationLength: 9},
		{Tenant: "agency/agency", Actor: "a1", Account: "a1", Email: id, From: internalID},
	}
	if diff := cmp.Diff(want, audited.downgrades); diff != "" {
		t.Error(diff)
	}
}

func TestChangeThatIsRefusedIsNotAudited(t *testing.T) {
	t.Parallel()
	d, audited := labelDesk(t)
	id := d.imported(carrying(internalID))
	out := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": nil, "subject": "no"}}})
	wantSetError(t, out["notUpdated"], id, "only mailboxIds, keywords and sensitivityLabel can change", "subject")
	if got, _ := d.labelOf(id); got != internalID || len(audited.downgrades) != 0 {
		t.Errorf("label %v, audited %+v", got, audited.downgrades)
	}
	unknown := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": "nope"}}})
	wantSetError(t, unknown["notUpdated"], id, "Label/get lists", "sensitivityLabel")
	odd := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": 7}}})
	wantSetError(t, odd["notUpdated"], id, "neither the id of a label nor null", "sensitivityLabel")
}

// compose makes a draft and returns its id and its message.
func (d *desk) compose(members object) (id, content string) {
	d.tb.Helper()
	members["mailboxIds"], members["keywords"] = object{d.role("drafts"): true}, object{"$draft": true}
	out := d.call("Email/set", object{"create": object{"d": members}})
	created := as(as(out["created"])["d"])
	if created == nil {
		d.tb.Fatalf("not created: %v", out["notCreated"])
	}
	blob, size, err := d.service.Open(d.tb.Context(), d.principal.AccountID, str(created["blobId"]))
	if err != nil {
		d.tb.Fatal(err)
	}
	defer blob.Close()
	data := make([]byte, size)
	if _, err := blob.Read(data); err != nil {
		d.tb.Fatal(err)
	}
	return str(created["id"]), string(data)
}

func TestDraftIsComposedWithItsLabelAndMarks(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	members := func(subject, text string) object {
		return object{
			"sensitivityLabel": secretID, "subject": subject, "textBody": []object{{"partId": "t", "type": "text/plain"}},
			"htmlBody": []object{{"partId": "h", "type": "text/html"}}, "attachments": []object{{"blobId": d.upload("raw"), "type": "text/plain"}},
			"bodyValues": object{"t": object{"value": text}, "h": object{"value": "<b>Hi</b>"}},
		}
	}
	id, content := d.compose(members("Grüße", "Hi"))
	if got, _ := d.labelOf(id); got != secretID {
		t.Errorf("label %v", got)
	}
	for _, want := range []string{
		"msip_labels: MSIP_Label_" + secretID + "_Enabled=true;\r\n MSIP_Label_" + secretID + "_SetDate=2026-11-23T12:00:00Z;",
		"_SiteId=5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11\r\n",
		"SECRET\r\n\r\nHi\r\n\r\nBurn\r\n",
		`<p class=3D"sensitivity-header">SECRET</p><b>Hi</b>`,
		"\r\n\r\nraw\r\n",
	} {
		if !strings.Contains(content, want) && !strings.Contains(content, strings.ReplaceAll(want, "=3D", "=")) {
			t.Errorf("the message lacks %q:\n%s", want, content)
		}
	}
	got := list(d.call("Email/get", object{"ids": []string{id}, "properties": []string{"subject", "bodyValues", "textBody"}, "fetchTextBodyValues": true})["list"])[0]
	if got["subject"] != "[S] Grüße" {
		t.Errorf("subject %q", got["subject"])
	}
	for _, value := range as(got["bodyValues"]) {
		// Composed anew from what it is, the draft has each mark once.
		_, again := d.compose(members(str(got["subject"]), str(as(value)["value"])))
		if n := strings.Count(again, "SECRET\r\n"); n != 1 {
			t.Errorf("%d marks:\n%s", n, again)
		}
		break
	}
}

func TestMarksOfAFormerLabelGo(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	_, content := d.compose(object{
		"sensitivityLabel": internalID, "subject": "[S] Hello", "textBody": []object{{"partId": "t"}},
		"bodyValues": object{"t": object{"value": "SECRET\n\nHi\n\nBurn\n"}},
	})
	if strings.Contains(content, "SECRET") || strings.Contains(content, "Burn") || !strings.Contains(content, "Subject: Hello\r\n") {
		t.Errorf("marks of a former label stay:\n%s", content)
	}
}

func TestSignedTextIsNotMarked(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	_, content := d.compose(object{
		"sensitivityLabel": secretID, "bodyValues": object{"t": object{"value": "Hi"}, "s": object{"value": "x"}},
		"bodyStructure": object{"type": "multipart/signed", "subParts": []object{
			{"type": "text/plain", "partId": "t"}, {"type": "application/pkcs7-signature", "partId": "s"},
		}},
	})
	if strings.Contains(content, "SECRET") || !strings.Contains(content, "msip_labels:") {
		t.Errorf("message:\n%s", content)
	}
}

func TestBadLabelsOfDraftsAreRefused(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	for name, tc := range map[string]struct {
		members     object
		description string
		property    string
	}{
		"unknown":         {object{"sensitivityLabel": "nope"}, "Label/get lists", "sensitivityLabel"},
		"a number":        {object{"sensitivityLabel": 7}, "neither the id", "sensitivityLabel"},
		"the field":       {object{"header:msip_labels": " x"}, "set sensitivityLabel in its place", "header:msip_labels"},
		"the field again": {object{"header:MSIP_Labels:asText:all": []string{"x"}}, "set sensitivityLabel in its place", "header:MSIP_Labels:asText:all"},
	} {
		tc.members["mailboxIds"] = object{d.role("drafts"): true}
		out := d.call("Email/set", object{"create": object{"d": tc.members}})
		t.Log(name)
		wantSetError(t, out["notCreated"], "d", tc.description, tc.property)
	}
}

func TestLabelOfADraftIsChangedByComposingItAnew(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	id, _ := d.compose(object{"sensitivityLabel": internalID})
	out := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": secretID}}})
	wantSetError(t, out["notUpdated"], id, "create the draft anew with it", "sensitivityLabel")
	same := d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": internalID, "keywords/$seen": true}}})
	if _, ok := as(same["updated"])[id]; !ok {
		t.Errorf("a label that stays is refused: %v", same["notUpdated"])
	}
}

func TestCopyKeepsTheLabelThatWasSet(t *testing.T) {
	t.Parallel()
	d, _ := labelDesk(t)
	id := d.imported("Subject: Hi\r\n\r\nHello\r\n")
	d.call("Email/set", object{"update": object{id: object{"sensitivityLabel": secretID}}})
	own := d.principal
	shared := jmap.SharedAccount{AccountID: "s1", Name: "Team"}
	if err := d.service.Provision(t.Context(), shared.Owner(own.Tenant)); err != nil {
		t.Fatal(err)
	}
	both := *own
	both.Shared = []jmap.SharedAccount{shared}
	d.principal = &both
	there := ""
	for _, box := range list(d.call("Mailbox/get", object{"accountId": "s1", "ids": nil})["list"]) {
		if box["role"] == "inbox" {
			there = str(box["id"])
		}
	}
	out := d.call("Email/copy", object{"fromAccountId": own.AccountID, "accountId": "s1", "create": object{"c": object{"id": id, "mailboxIds": object{there: true}}}})
	copied := str(as(as(out["created"])["c"])["id"])
	got := list(d.call("Email/get", object{"accountId": "s1", "ids": []string{copied}, "properties": []string{"sensitivityLabel"}})["list"])[0]
	if got["sensitivityLabel"] != secretID {
		t.Errorf("label of the copy is %v", got["sensitivityLabel"])
	}
}
