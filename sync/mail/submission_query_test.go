package mail

import (
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestSubmissionsAreQueried(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.ann.mail(note(), hold("600"))
	second := o.ann.mail(note(), hold("60"))
	state := str(o.ann.call("EmailSubmission/query", object{})["queryState"])
	third := o.ann.mail(note(), nil)
	o.send()
	email := func(id string) string { return str(o.ann.submission(id)["emailId"]) }
	for name, c := range map[string]struct {
		args object
		want []string
	}{
		"all":             {object{}, []string{first, second, third}},
		"pending":         {object{"filter": object{"undoStatus": "pending"}}, []string{first, second}},
		"final":           {object{"filter": object{"undoStatus": "final"}}, []string{third}},
		"before":          {object{"filter": object{"before": "2026-11-23T12:01:00Z"}}, []string{third}},
		"after":           {object{"filter": object{"after": "2026-11-23T12:01:00Z"}}, []string{first, second}},
		"of an email":     {object{"filter": object{"emailIds": []string{email(second)}}}, []string{second}},
		"of no email":     {object{"filter": object{"emailIds": []string{}}}, []string{}},
		"of a thread":     {object{"filter": object{"threadIds": []string{str(o.ann.submission(first)["threadId"])}}}, []string{first, second, third}},
		"of an identity":  {object{"filter": object{"identityIds": []string{"i0"}}}, []string{}},
		"none of":         {object{"filter": object{"operator": "NOT", "conditions": []object{{"undoStatus": "final"}}}}, []string{first, second}},
		"by time":         {object{"sort": []object{{"property": "sentAt"}}}, []string{third, second, first}},
		"by time, newest": {object{"sort": []object{{"property": "sendAt", "isAscending": false}}, "limit": 1}, []string{first}},
		"by email":        {object{"sort": []object{{"property": "emailId", "isAscending": false}}}, []string{third, second, first}},
		"by thread":       {object{"sort": []object{{"property": "threadId"}}}, []string{first, second, third}},
	} {
		equal(t, name, strs(o.ann.call("EmailSubmission/query", c.args)["ids"]), c.want)
	}
	equal(t, "unknown sort", o.ann.refused("EmailSubmission/query", object{"sort": []object{{"property": "size"}}}), jmap.ErrorUnsupportedSort)
	equal(t, "unknown filter", o.ann.refused("EmailSubmission/query", object{"filter": object{"text": "x"}}), jmap.ErrorUnsupportedFilter)
	equal(t, "bad state", o.ann.refused("EmailSubmission/queryChanges", object{"sinceQueryState": "x"}), jmap.ErrorCannotCalculateChanges)

	o.ann.unsend(second)
	out := o.ann.call("EmailSubmission/queryChanges", object{"sinceQueryState": state, "filter": object{"undoStatus": "pending"}, "calculateTotal": true})
	equal(t, "removed", strs(out["removed"]), []string{second})
	equal(t, "added", list(out["added"]), []object(nil))
	equal(t, "total", out["total"], any(1.0))
	changes := o.ann.call("EmailSubmission/changes", object{"sinceState": state})
	equal(t, "changes", []any{changes["created"], changes["updated"], changes["destroyed"]}, normal(t, []any{[]string{third}, []string{second}, []string{}}).([]any))
}

func TestWhatFollowsASubmissionIsDoneForThoseThatSucceed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	using := []string{jmap.CoreCapability, CapabilityURI, SubmissionURI}
	a, b, c := o.ann.draft(note()), o.ann.draft(note()), o.ann.draft(mime("x", "From: eve@other.us", "To: bob@agency.us"))
	sentBox, identity := o.ann.role("sent"), o.ann.identity()
	answers := o.ann.requests(using, []any{"EmailSubmission/set", object{
		"accountId": "a1", "create": object{
			"a": object{"identityId": identity, "emailId": a, "envelope": hold("60")}, "b": object{"identityId": identity, "emailId": b},
			"c": object{"identityId": identity, "emailId": c},
		},
		"onSuccessUpdateEmail":  object{"#a": object{"mailboxIds": object{sentBox: true}}, "#c": object{"mailboxIds": object{sentBox: true}}, "s77": object{"keywords/x": true}},
		"onSuccessDestroyEmail": []string{"#b", "#c", "#nobody"},
	}, "0"})
	equal(t, "responses", len(answers), 2)
	set := answers[1][1].(object)
	equal(t, "updated", set["updated"], any(object{a: nil}))
	equal(t, "destroyed", set["destroyed"], normal(t, []string{b}))
	held := str(answers[0][1].(object)["created"].(object)["a"].(object)["id"])

	answers = o.ann.requests(using, []any{"EmailSubmission/set", object{
		"accountId": "a1", "update": object{held: object{"undoStatus": "canceled"}},
		"onSuccessUpdateEmail": object{held: object{"keywords/$draft": true, "mailboxIds": object{o.ann.role("drafts"): true}}},
	}, "0"})
	equal(t, "after an update", answers[1][1].(object)["updated"], any(object{a: nil}))
	answers = o.ann.requests(using, []any{"EmailSubmission/set", object{
		"accountId": "a1", "destroy": []string{held, "s99"}, "onSuccessDestroyEmail": []string{held, "s99"},
	}, "0"})
	equal(t, "after a destroy", answers[1][1].(object)["destroyed"], normal(t, []string{a}))
	equal(t, "not destroyed", answers[0][1].(object)["notDestroyed"].(object)["s99"].(object)["type"], any("notFound"))
	answers = o.ann.requests(using, []any{"EmailSubmission/set", object{"accountId": "a1", "destroy": []string{"s99"}, "onSuccessDestroyEmail": []string{"s99"}}, "0"})
	equal(t, "nothing succeeded", len(answers), 1)
	for _, args := range []object{{"onSuccessUpdateEmail": object{"#a": nil}}, {"onSuccessUpdateEmail": object{"": object{}}}, {"onSuccessDestroyEmail": []string{"a b"}}, {"ifInState": 1}} {
		equal(t, "arguments", o.ann.refused("EmailSubmission/set", args), jmap.ErrorInvalidArguments)
	}
	equal(t, "state mismatch", o.ann.refused("EmailSubmission/set", object{"ifInState": "x", "destroy": []string{"s1"}}), jmap.ErrorStateMismatch)
	o.send()
	equal(t, "bob's inbox", len(o.bob.inbox()), 1)
	equal(t, "outbox", o.queued(), 0)
}
