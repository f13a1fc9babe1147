package mail

import (
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime/smimetest"
)

func TestRulesOfTheTenantHoldBackWhatMustNotLeave(t *testing.T) {
	t.Parallel()
	signer := smimetest.NewRoot(t).Issue(t, "ann@agency.us")
	plain := smimetest.Header("ann@agency.us") + smimetest.Text
	signed := smimetest.Multipart(t, signer, "ann@agency.us", smimetest.Text, smimetest.Options{})
	encrypted := smimetest.Opaque("ann@agency.us", smimetest.Enveloped(t), "enveloped-data")
	labelled := func(id string) string {
		return "msip_labels: MSIP_Label_" + id + "_Enabled=true\r\n" + plain
	}
	labels := label.Of(&tenantdoc.Document{
		Features: tenantdoc.Features{SensitivityLabels: true},
		Labels: []tenantdoc.Label{
			{ID: internalID, Name: "Internal", Rank: 10, Protection: tenantdoc.LabelProtection{StayInside: true}},
			{ID: secretID, Name: "Secret", Rank: 30, Protection: tenantdoc.LabelProtection{Encrypt: true}},
		},
	})
	for name, test := range map[string]struct {
		policy  smime.Policy
		message string
		to      string
		want    string
	}{
		"nothing is demanded":               {message: plain, to: "eve@other.us"},
		"a signature is missing":            {policy: smime.Policy{RequireSigned: true}, message: plain, to: "bob@agency.us", want: "signed mail only"},
		"a signature is there":              {policy: smime.Policy{RequireSigned: true}, message: signed, to: "bob@agency.us"},
		"encryption is missing":             {policy: smime.Policy{RequireEncrypted: true}, message: signed, to: "bob@agency.us", want: "encrypted mail only"},
		"encryption is there":               {policy: smime.Policy{RequireEncrypted: true}, message: encrypted, to: "bob@agency.us"},
		"a label keeps mail inside":         {message: labelled(internalID), to: "eve@other.us", want: `"Internal" does not leave the organisation`},
		"a label lets mail pass inside":     {message: labelled(internalID), to: "bob@agency.us"},
		"a label demands encryption":        {message: labelled(secretID), to: "bob@agency.us", want: `"Secret" is sent encrypted only`},
		"a label of others demands nothing": {message: labelled("8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7aff"), to: "eve@other.us"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.ann.service.opts.Outgoing = func(tenant string) smime.Policy {
				if tenant != "agency/agency" {
					t.Errorf("policy of %q", tenant)
				}
				return test.policy
			}
			o.ann.service.opts.Labels = func(string) *label.Set { return labels }
			envelope := object{"mailFrom": object{"email": "ann@agency.us"}, "rcptTo": []object{{"email": test.to}}}
			_, refused := o.ann.submit(object{"emailId": o.ann.draft(test.message), "envelope": envelope})
			switch {
			case test.want == "" && refused != nil:
				t.Errorf("refused: %v", refused)
			case test.want != "" && (refused["type"] != "forbiddenToSend" || !strings.Contains(str(refused["description"]), test.want)):
				t.Errorf("SetError %v, want one that says %q", refused, test.want)
			}
			if test.want != "" && o.queued() != 0 {
				t.Error("what was refused is in the outbox")
			}
		})
	}
}

func TestLabelSetOnAnEmailHoldsItBackToo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.service.opts.Labels = func(string) *label.Set {
		return label.Of(&tenantdoc.Document{Features: tenantdoc.Features{SensitivityLabels: true}, Labels: []tenantdoc.Label{
			{ID: internalID, Name: "Internal", Rank: 10, Protection: tenantdoc.LabelProtection{StayInside: true}},
		}})
	}
	o.ann.using = map[string]bool{label.CapabilityURI: true}
	id := o.ann.add(o.ann.role("sent"), note())
	o.ann.call("Email/set", object{"update": object{id: object{label.Property: internalID}}})
	envelope := object{"mailFrom": object{"email": "ann@agency.us"}, "rcptTo": []object{{"email": "eve@other.us"}}}
	if _, refused := o.ann.submit(object{"emailId": id, "envelope": envelope}); refused["type"] != "forbiddenToSend" {
		t.Errorf("SetError %v", refused)
	}
}
