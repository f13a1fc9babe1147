package mail

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func FuzzRender(f *testing.F) {
	f.Add([]byte(mixed))
	f.Add([]byte("Received: x; Mon, 1 Jan 0000 00:00:00 +0000\nReferences: <a> <b>\n\n\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := render(data)
		if err != nil {
			t.Fatalf("render: %v", err)
		}
		for _, name := range rowProperties {
			if raw, ok := out.row[name]; ok && !json.Valid(raw) {
				t.Errorf("%s is %q", name, raw)
			}
		}
		if len(out.references) > maxReferences || len(strings.Join(out.text, "")) > 4*maxText {
			t.Errorf("%d references, %d octets of text", len(out.references), len(strings.Join(out.text, "")))
		}
	})
}

func FuzzBlobIDs(f *testing.F) {
	hash := strings.Repeat("0", hashSize)
	f.Add("B" + hash)
	f.Add("P" + hash + "-0-a-b-1-2-q")
	f.Add("P" + hash + "-0-zzzzzzzzzzzzzzzzz-b")
	f.Fuzz(func(t *testing.T, id string) {
		ref, ok := parseBlobID(id)
		if ok && ref.String() != id {
			t.Errorf("%q is read as %q", id, ref)
		}
	})
}

func FuzzTerms(f *testing.F) {
	f.Add(`plan "two words" 'it''s' \" it's`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, term := range terms(text) {
			if term == "" || strings.TrimSpace(term) != term {
				t.Errorf("term %q of %q", term, text)
			}
		}
	})
}

func FuzzDraft(f *testing.F) {
	f.Add([]byte(`{"subject":"x","bodyValues":{"1":{"value":"y"}},"textBody":[{"partId":"1"}]}`))
	f.Add([]byte(`{"header:X:asText:all":["a"],"bodyStructure":{"type":"multipart/mixed","subParts":[{"blobId":"B"}]}}`))
	f.Add([]byte(`{"to":[{"email":"a@b","name":"\u0000"}],"bodyStructure":{"partId":"1","header:content-type":"a/b"}}`))
	d := newDesk(f)
	drafts := d.role("drafts")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil || members == nil {
			return
		}
		members["mailboxIds"] = json.RawMessage(`{"` + drafts + `":true}`)
		args, err := json.Marshal(object{"accountId": "a1", "create": object{"x": members}})
		if err != nil {
			return
		}
		call := &jmap.Call{Principal: d.principal, Name: "Email/set", Args: args, CreatedIDs: map[string]string{}, Limits: &d.limits}
		result, err := d.service.Capability().Methods["Email/set"](t.Context(), call)
		if refused, ok := errors.AsType[*jmap.MethodError](err); ok && refused.Type == jmap.ErrorInvalidArguments {
			return // what is no I-JSON is refused before it comes here
		}
		if err != nil {
			t.Fatalf("Email/set: %v", err)
		}
		out, ok := result.(*jmap.SetResponse)
		if !ok || len(out.Created)+len(out.NotCreated) != 1 {
			t.Errorf("got %+v", result)
		}
	})
}
