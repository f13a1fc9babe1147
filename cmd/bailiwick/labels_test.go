package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
)

func TestLabelsOfTheDocumentReachClientsAndTheAuditLog(t *testing.T) {
	t.Parallel()
	const secret = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10"
	r := newRegion(t)
	doc := r.document()
	doc.Features.SensitivityLabels = true
	doc.Labels = []tenantdoc.Label{{
		ID: secret, Name: "Secret", Rank: 30, Protection: tenantdoc.LabelProtection{JustifyDowngrade: true}, Mobile: tenantdoc.LabelMobile{NoPrint: true},
	}}
	r.write(t, doc)
	r.start(t)
	ada := r.user(t, "ada")
	call := func(method, args string) map[string]any {
		t.Helper()
		answers := ada.send(t, fmt.Sprintf(`{"using":["urn:ietf:params:jmap:core","urn:ietf:params:jmap:mail",%q],"methodCalls":[[%q,{"accountId":%q,%s},"c"]]}`, label.CapabilityURI, method, ada.account, args))
		if answers[0][0] != method {
			t.Fatalf("%s: %v", method, answers)
		}
		return as[map[string]any](t, answers[0][1])
	}
	labels := as[[]any](t, call("Label/get", `"ids":null`)["list"])
	if len(labels) != 1 || fmt.Sprint(as[map[string]any](t, labels[0])["forbidden"]) != "[print]" {
		t.Fatalf("labels %v", labels)
	}
	added := ada.add(t, "inbox", strings.NewReader("msip_labels: MSIP_Label_"+secret+"_Enabled=true\r\n"+letter))
	id := fmt.Sprint(added["id"])
	got := as[map[string]any](t, as[[]any](t, call("Email/get", fmt.Sprintf(`"ids":[%q],"properties":["sensitivityLabel"]`, id))["list"])[0])
	if got["sensitivityLabel"] != secret {
		t.Errorf("email %v", got)
	}
	if refused := call("Email/set", fmt.Sprintf(`"update":{%q:{"sensitivityLabel":null}}`, id))["notUpdated"]; refused == nil {
		t.Error("a label is taken off without a reason")
	}
	const reason = "the press has it already"
	call("Email/set", fmt.Sprintf(`"update":{%q:{"sensitivityLabel":null,"labelJustification":%q}}`, id, reason))
	log := r.logs.String()
	if strings.Count(log, `"audit":true`) != 1 || !strings.Contains(log, fmt.Sprintf(`"justificationLength":%d`, len(reason))) {
		t.Errorf("the downgrade is not audited once:\n%s", log)
	}
	if strings.Contains(log, reason) || strings.Contains(log, "ada@") {
		t.Error("the log holds content or an address")
	}
	// The labels go with the function, and mail that carries them stays.
	doc.Features.SensitivityLabels = false
	r.write(t, doc)
	eventually(t, "the labels go", func() bool { return len(as[[]any](t, call("Label/get", `"ids":null`)["list"])) == 0 })
}
