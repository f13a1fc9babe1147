package mail

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// blob makes one call of a method on blobs that must succeed.
func (d *desk) blob(method string, args object) object {
	d.tb.Helper()
	args["accountId"] = d.principal.AccountID
	answer := d.request(method, args)
	if len(answer) != 1 || answer[0][0] != method {
		d.tb.Fatalf("%s: %v", method, answer)
	}
	return answer[0][1].(object)
}

// make uploads the sources as one blob and returns its id.
func (d *desk) makeBlob(sources ...object) string {
	d.tb.Helper()
	out := d.blob("Blob/upload", object{"create": object{"x": object{"data": sources}}})
	created, ok := out["created"].(object)
	if !ok {
		d.tb.Fatalf("Blob/upload: %v", out)
	}
	return str(created["x"].(object)["id"])
}

func (d *desk) contentOf(id string) string {
	d.tb.Helper()
	r, _, err := d.service.Open(d.tb.Context(), d.principal.AccountID, id)
	if err != nil {
		d.tb.Fatalf("open %q: %v", id, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		d.tb.Fatalf("read %q: %v", id, err)
	}
	r.Close()
	return string(data)
}

// TestTheBlobCapabilityTellsItsLimits follows RFC 9404 section 3.1.
func TestTheBlobCapabilityTellsItsLimits(t *testing.T) {
	t.Parallel()
	c := newDesk(t).service.BlobCapability()
	equal(t, "URI", c.URI, "urn:ietf:params:jmap:blob")
	equal(t, "session", c.Session, nil)
	equal(t, "account", normal(t, c.Account), normal(t, object{
		"maxSizeBlobSet": 75_000_000, "maxDataSources": 1024,
		"supportedTypeNames": []string{"Email", "Mailbox", "Thread"}, "supportedDigestAlgorithms": []string{"sha-256", "sha-512", "sha"},
	}))
	for _, name := range digestNames {
		equal(t, "digest "+name, blobProperty("digest:"+name), true)
	}
	if maxDataSources < 64 {
		t.Errorf("maxDataSources is %d; section 3.1 asks for 64 at least", maxDataSources)
	}
}

// TestBlobsAreMadeOfTheirSources follows RFC 9404 section 4.1, with its example of several calls.
func TestBlobsAreMadeOfTheirSources(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	answers := d.requests([]string{jmap.CoreCapability, BlobCapabilityURI},
		[]any{"Blob/upload", object{"accountId": "a1", "create": object{"b4": object{"data": []object{{"data:asText": "The quick brown fox jumped over the lazy dog."}}}}}, "S4"},
		[]any{"Blob/upload", object{"accountId": "a1", "create": object{"cat": object{"type": "text/plain", "data": []object{
			{"data:asText": "How"}, {"blobId": "#b4", "length": 7, "offset": 3}, {"data:asText": "was t"}, {"blobId": "#b4", "length": 1, "offset": 1}, {"data:asBase64": "YXQ/"},
		}}}}, "CAT"},
		[]any{"Blob/get", object{"accountId": "a1", "properties": []string{"data:asText", "size"}, "ids": []string{"#cat"}}, "G4"},
	)
	first, second := answers[0][1].(object), answers[1][1].(object)
	id := str(second["created"].(object)["cat"].(object)["id"])
	equal(t, "first", any(first), normal(t, object{"accountId": "a1", "notCreated": nil, "created": object{
		"b4": object{"id": first["created"].(object)["b4"].(object)["id"], "type": "application/octet-stream", "size": 45},
	}}))
	equal(t, "second", any(second), normal(t, object{"accountId": "a1", "notCreated": nil, "created": object{"cat": object{"id": id, "type": "text/plain", "size": 19}}}))
	equal(t, "third", answers[2][1], normal(t, object{"accountId": "a1", "notFound": []string{}, "list": []object{{"id": id, "data:asText": "How quick was that?", "size": 19}}}))
}

func TestBlobSourcesMayBeAnyRange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	base := d.upload("0123456789")
	email := d.add(d.role("inbox"), mime("body", "Subject: part"))
	part := str(list(d.get(email, nil, "textBody")["textBody"])[0]["blobId"])
	for name, test := range map[string]struct {
		sources []object
		want    string
	}{
		"nothing":                 {[]object{}, ""},
		"the whole":               {[]object{{"blobId": base}}, "0123456789"},
		"null is the default":     {[]object{{"blobId": base, "offset": nil, "length": nil}}, "0123456789"},
		"from an offset":          {[]object{{"blobId": base, "offset": 7}}, "789"},
		"of a length":             {[]object{{"blobId": base, "length": 2}}, "01"},
		"of no length at the end": {[]object{{"blobId": base, "offset": 10, "length": 0}}, ""},
		"in the order given":      {[]object{{"blobId": base, "offset": 9}, {"data:asText": "ü"}, {"data:asBase64": "/w=="}, {"blobId": base, "length": 1}}, "9ü\xff0"},
		"part of an email":        {[]object{{"blobId": part, "offset": 1, "length": 2}}, "od"},
		"as many as are allowed":  {slices.Repeat([]object{{"data:asText": "x"}}, maxDataSources), strings.Repeat("x", maxDataSources)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			equal(t, "content", d.contentOf(d.makeBlob(test.sources...)), test.want)
		})
	}
}

func TestBlobsOfOneCallUseEachOtherInAnyOrder(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	refer := func(id string) object { return object{"data": []object{{"blobId": id}, {"data:asText": "."}}} }
	out := d.blob("Blob/upload", object{"create": object{
		"a": refer("#b"), "b": refer("#c"), "c": object{"data": []object{{"data:asText": "c"}}},
		"self": refer("#self"), "one": refer("#two"), "two": refer("#one"), "after": refer("#wrong"), "wrong": object{},
	}})
	for creation, want := range map[string]string{"a": "c..", "b": "c.", "c": "c"} {
		equal(t, creation, d.contentOf(str(out["created"].(object)[creation].(object)["id"])), want)
	}
	for _, creation := range []string{"self", "one", "two", "after"} {
		kind, _ := setError(out, "notCreated", creation)
		equal(t, creation, kind, "blobNotFound")
	}
	equal(t, "refused", len(out["notCreated"].(object)), 5)
}

// TestWrongBlobsAreRefusedAlone follows what RFC 9404 section 4.1 says a server must not make a guess about.
func TestWrongBlobsAreRefusedAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	base := d.upload("0123456789")
	source := func(s object) object { return object{"data": []object{{"data:asText": "x"}, s}} }
	tests := map[string]struct {
		create any
		kind   string
	}{
		"no-object":         {"x", "invalidProperties"},
		"no-data":           {object{"type": "text/plain"}, "invalidProperties"},
		"wrong-type":        {object{"data": []object{}, "type": 1}, "invalidProperties"},
		"unknown-property":  {object{"data": []object{}, "x": 1}, "invalidProperties"},
		"unknown-source":    {source(object{"data:asHex": "00"}), "invalidProperties"},
		"empty-source":      {source(object{}), "invalidProperties"},
		"two-sources":       {source(object{"data:asText": "a", "data:asBase64": "YQ=="}), "invalidProperties"},
		"text-and-blob":     {source(object{"data:asText": "a", "blobId": base}), "invalidProperties"},
		"text-with-range":   {source(object{"data:asText": "a", "offset": 0}), "invalidProperties"},
		"text-no-string":    {source(object{"data:asText": 1}), "invalidProperties"},
		"base64-characters": {source(object{"data:asBase64": "YQ!="}), "invalidProperties"},
		"base64-url":        {source(object{"data:asBase64": "-_-_"}), "invalidProperties"},
		"base64-padding":    {source(object{"data:asBase64": "YQ"}), "invalidProperties"},
		"base64-bits":       {source(object{"data:asBase64": "YR=="}), "invalidProperties"},
		"base64-lines":      {source(object{"data:asBase64": "YWFh\r\nYmJi"}), "invalidProperties"},
		"negative-offset":   {source(object{"blobId": base, "offset": -1}), "invalidProperties"},
		"negative-length":   {source(object{"blobId": base, "length": -1}), "invalidProperties"},
		"fraction":          {source(object{"blobId": base, "offset": 1.5}), "invalidProperties"},
		"begins-beyond":     {source(object{"blobId": base, "offset": 11}), "invalidProperties"},
		"begins-far-beyond": {source(object{"blobId": base, "offset": jmap.MaxInt, "length": jmap.MaxInt}), "invalidProperties"},
		"ends-beyond":       {source(object{"blobId": base, "offset": 5, "length": 6}), "invalidProperties"},
		"unknown-blob":      {source(object{"blobId": "B" + strings.Repeat("0", 52)}), "blobNotFound"},
		"unknown-creation":  {source(object{"blobId": "#none"}), "blobNotFound"},
		"empty-blob-id":     {source(object{"blobId": ""}), "blobNotFound"},
		"many-sources":      {object{"data": slices.Repeat([]object{{"data:asText": "x"}}, maxDataSources+1)}, "tooLarge"},
	}
	create := object{"right": object{"data": []object{{"data:asText": "x"}}}}
	for name, test := range tests {
		create[name] = test.create
	}
	out := d.blob("Blob/upload", object{"create": create})
	for name, test := range tests {
		kind, _ := setError(out, "notCreated", name)
		equal(t, name, kind, test.kind)
	}
	equal(t, "refused", len(out["notCreated"].(object)), len(tests))
	equal(t, "created", len(out["created"].(object)), 1)
}

func TestBlobTextMustBeUnicode(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\"\xff\"", `"\ud800"`, `"\udc00\ud800"`} {
		if _, err := readUpload(json.RawMessage(`{"data":[{"data:asText":` + text + `}]}`)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	want, err := readUpload(json.RawMessage(`{"data":[{"data:asText":"\ud83d\ude00"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "a pair of surrogates", *want.Data[0].Text, "😀")
}

func TestLargeBlobsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	half := d.upload(strings.Repeat("x", maxSizeBlobSet/2))
	whole := object{"data": []object{{"blobId": half}, {"blobId": half}}}
	out := d.blob("Blob/upload", object{"create": object{
		"a": whole, "b": whole, "c": object{"data": []object{{"data:asText": "late"}}},
		"0": object{"data": []object{{"blobId": half}, {"blobId": half}, {"data:asText": "x"}}},
		"1": object{"data": []object{{"blobId": half}, {"blobId": half}, {"blobId": half, "length": 1}}},
	}})
	equal(t, "size", out["created"].(object)["a"].(object)["size"], any(float64(maxSizeBlobSet)))
	equal(t, "created", len(out["created"].(object)), 2)
	for creation, want := range map[string]string{"0": "tooLarge", "1": "tooLarge", "c": "rateLimit"} {
		kind, _ := setError(out, "notCreated", creation)
		equal(t, creation, kind, want)
	}
}

// TestBlobsAreReadAsAskedFor follows RFC 9404 section 4.2.
func TestBlobsAreReadAsAskedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	fox, latin := d.upload("The quick brown fox"), d.upload("caf\xe9 noir")
	umlaut := d.upload("aüb")
	sum := func(octets []byte) string { return base64.StdEncoding.EncodeToString(octets) }
	s1, s256, s512 := sha1.Sum([]byte("quick")), sha256.Sum256([]byte("quick")), sha512.Sum512([]byte("quick"))
	for name, test := range map[string]struct {
		id   string
		args object
		want object
	}{
		"text by default":              {fox, object{}, object{"data:asText": "The quick brown fox", "size": 19}},
		"base64 when it is no text":    {latin, object{"properties": nil}, object{"data:asBase64": "Y2Fm6SBub2ly", "size": 9, "isEncodingProblem": true}},
		"text that is none":            {latin, object{"properties": []string{"data:asText"}}, object{"data:asText": nil, "isEncodingProblem": true}},
		"text that is none, and data":  {latin, object{"properties": []string{"data:asText", "data"}}, object{"data:asText": nil, "data:asBase64": "Y2Fm6SBub2ly", "isEncodingProblem": true}},
		"base64 of text":               {fox, object{"properties": []string{"data:asBase64"}, "length": 3}, object{"data:asBase64": "VGhl"}},
		"base64 is no problem":         {latin, object{"properties": []string{"data:asBase64"}}, object{"data:asBase64": "Y2Fm6SBub2ly"}},
		"a range of text":              {latin, object{"properties": []string{"data"}, "offset": 5}, object{"data:asText": "noir"}},
		"half a character":             {umlaut, object{"properties": []string{"data:asText"}, "length": 2}, object{"data:asText": nil, "isEncodingProblem": true}},
		"size is that of the whole":    {fox, object{"properties": []string{"size"}, "offset": 4, "length": 5}, object{"size": 19}},
		"nothing but the id":           {fox, object{"properties": []string{"id"}}, object{}},
		"no properties":                {fox, object{"properties": []string{}}, object{}},
		"the end exactly":              {fox, object{"properties": []string{"data"}, "offset": 16, "length": 3}, object{"data:asText": "fox"}},
		"beyond the end":               {fox, object{"properties": []string{"data"}, "offset": 16, "length": 4}, object{"data:asText": "fox", "isTruncated": true}},
		"nothing at the end":           {fox, object{"properties": []string{"data"}, "offset": 19}, object{"data:asText": ""}},
		"after the end":                {fox, object{"properties": []string{"data", "size"}, "offset": 20}, object{"data:asText": "", "size": 19, "isTruncated": true}},
		"far after the end":            {fox, object{"properties": []string{"data:asBase64"}, "offset": jmap.MaxInt, "length": jmap.MaxInt}, object{"data:asBase64": "", "isTruncated": true}},
		"null is no range":             {umlaut, object{"properties": []string{"data"}, "offset": nil, "length": nil}, object{"data:asText": "aüb"}},
		"digests are of the range":     {fox, object{"properties": []string{"digest:sha", "digest:sha-256", "digest:sha-512"}, "offset": 4, "length": 5}, object{"digest:sha": sum(s1[:]), "digest:sha-256": sum(s256[:]), "digest:sha-512": sum(s512[:])}},
		"a digest of the whole":        {d.upload(""), object{"properties": []string{"digest:sha"}}, object{"digest:sha": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="}},
		"a digest of a range too long": {fox, object{"properties": []string{"digest:sha-256", "digest:sha-256"}, "offset": 19, "length": 1}, object{"digest:sha-256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "isTruncated": true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.args["ids"] = []string{test.id}
			test.want["id"] = test.id
			out := d.blob("Blob/get", test.args)
			equal(t, "response", any(out), normal(t, object{"accountId": "a1", "list": []object{test.want}, "notFound": []string{}}))
		})
	}
}

func TestPartsOfEmailsAreReadAsBlobs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.add(d.role("inbox"), mime("aGVsbG8=", "Subject: part", "Content-Type: text/plain", "Content-Transfer-Encoding: base64"))
	part := str(list(d.get(id, nil, "textBody")["textBody"])[0]["blobId"])
	out := d.blob("Blob/get", object{"ids": []string{part}, "offset": 1, "length": 3})
	equal(t, "part", list(out["list"])[0], object{"id": part, "data:asText": "ell", "size": 5.0})
}

// TestBlobsAreLookedUp follows RFC 9404 section 4.3.
func TestBlobsAreLookedUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox, archive := d.role("inbox"), d.role("archive")
	content := mime("hello", "Subject: hello", "Message-ID: <1@x>")
	first, second := d.add(inbox, content), d.add(archive, content)
	other := d.add(inbox, mime("other", "Subject: other"))
	meta := d.get(first, nil, "blobId", "threadId", "textBody")
	thread, blob, part := str(meta["threadId"]), str(meta["blobId"]), str(list(meta["textBody"])[0]["blobId"])
	loose := d.upload("loose")
	out := d.blob("Blob/lookup", object{"typeNames": []string{"Mailbox", "Thread", "Email"}, "ids": []string{blob, part, loose, "Bnone", "#none"}})
	both := object{"Mailbox": []string{inbox, archive}, "Thread": []string{thread}, "Email": []string{first, second}}
	equal(t, "all types", any(out), normal(t, object{"accountId": "a1", "notFound": []string{"#none", "Bnone"}, "list": []object{
		{"id": blob, "matchedIds": both},
		{"id": part, "matchedIds": both},
		{"id": loose, "matchedIds": object{"Mailbox": []string{}, "Thread": []string{}, "Email": []string{}}},
	}}))
	out = d.blob("Blob/lookup", object{"typeNames": []string{"Thread"}, "ids": []string{blob}})
	equal(t, "one type", out["list"], normal(t, []object{{"id": blob, "matchedIds": object{"Thread": []string{thread}}}}))
	out = d.blob("Blob/lookup", object{"typeNames": []string{}, "ids": []string{blob}})
	equal(t, "no type", out["list"], normal(t, []object{{"id": blob, "matchedIds": object{}}}))
	d.call("Email/set", object{"destroy": []string{first, other}})
	out = d.blob("Blob/lookup", object{"typeNames": []string{"Email", "Mailbox"}, "ids": []string{blob}})
	equal(t, "after one was destroyed", out["list"], normal(t, []object{{"id": blob, "matchedIds": object{"Email": []string{second}, "Mailbox": []string{archive}}}}))
}

func TestBlobsAreFoundByTheirAccountOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := d.neighbour("agency/agency", "a2", true)
	id := other.upload("secret")
	equal(t, "get", any(d.blob("Blob/get", object{"ids": []string{id}})), normal(t, object{"accountId": "a1", "list": []object{}, "notFound": []string{id}}))
	equal(t, "lookup", any(d.blob("Blob/lookup", object{"ids": []string{id}, "typeNames": []string{"Email"}})), normal(t, object{"accountId": "a1", "list": []object{}, "notFound": []string{id}}))
	kind, _ := setError(d.blob("Blob/upload", object{"create": object{"x": object{"data": []object{{"blobId": id}}}}}), "notCreated", "x")
	equal(t, "upload", kind, "blobNotFound")
	get := object{"accountId": "a2", "ids": []string{id}, "properties": []string{"data"}}
	equal(t, "get an upload from a shared account", strs(d.request("Blob/get", get)[0][1].(object)["notFound"]), []string{id})
	other.add(other.role("inbox"), "secret: x")
	get["ids"] = []string{other.upload("secret: x")}
	equal(t, "get from a shared account", list(d.request("Blob/get", get)[0][1].(object)["list"])[0]["data:asText"], any("secret: x"))
}

func TestWrongBlobCallsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.neighbour("agency/agency", "a2", true)
	d.limits.MaxObjectsInGet, d.limits.MaxObjectsInSet = 2, 2
	upload := object{"data": []object{}}
	three := []string{"a", "b", "c"}
	for name, test := range map[string]struct {
		method string
		args   object
		want   string
	}{
		"upload nothing":                {"Blob/upload", object{}, jmap.ErrorInvalidArguments},
		"upload too many":               {"Blob/upload", object{"create": object{"a": upload, "b": upload, "c": upload}}, jmap.ErrorRequestTooLarge},
		"upload under no id":            {"Blob/upload", object{"create": object{"a b": upload}}, jmap.ErrorInvalidArguments},
		"upload to a read-only account": {"Blob/upload", object{"accountId": "a2", "create": object{}}, jmap.ErrorAccountReadOnly},
		"upload to somebody else":       {"Blob/upload", object{"accountId": "a3", "create": object{}}, jmap.ErrorAccountNotFound},
		"get nothing":                   {"Blob/get", object{}, jmap.ErrorInvalidArguments},
		"get too many":                  {"Blob/get", object{"ids": three}, jmap.ErrorRequestTooLarge},
		"get an unknown property":       {"Blob/get", object{"ids": []string{}, "properties": []string{"type"}}, jmap.ErrorInvalidArguments},
		"get an unknown digest":         {"Blob/get", object{"ids": []string{}, "properties": []string{"digest:md5"}}, jmap.ErrorInvalidArguments},
		"get from a negative offset":    {"Blob/get", object{"ids": []string{}, "offset": -1}, jmap.ErrorInvalidArguments},
		"get a negative length":         {"Blob/get", object{"ids": []string{}, "length": -1}, jmap.ErrorInvalidArguments},
		"get from somebody else":        {"Blob/get", object{"accountId": "a3", "ids": []string{}}, jmap.ErrorAccountNotFound},
		"look nothing up":               {"Blob/lookup", object{"typeNames": []string{}}, jmap.ErrorInvalidArguments},
		"look up in no types":           {"Blob/lookup", object{"ids": []string{}}, jmap.ErrorInvalidArguments},
		"look up in an unknown type":    {"Blob/lookup", object{"ids": []string{}, "typeNames": []string{"Email", "CalendarEvent"}}, "unknownDataType"},
		"look too many up":              {"Blob/lookup", object{"ids": three, "typeNames": []string{}}, jmap.ErrorRequestTooLarge},
		"look up for somebody else":     {"Blob/lookup", object{"accountId": "a3", "ids": []string{}, "typeNames": []string{}}, jmap.ErrorAccountNotFound},
	} {
		if test.args["accountId"] == nil {
			test.args["accountId"] = "a1"
		}
		answer := d.request(test.method, test.args)[0]
		equal(t, name, []any{answer[0], answer[1].(object)["type"]}, []any{"error", test.want})
	}
	answer := d.requests([]string{jmap.CoreCapability, BlobCapabilityURI}, []any{"Blob/lookup", object{"accountId": "a1", "ids": []string{}, "typeNames": []string{"Email"}}, "c"})[0]
	equal(t, "look up in a type that the request does not use", []any{answer[0], answer[1].(object)["type"]}, []any{"error", "unknownDataType"})
	answer = d.requests([]string{jmap.CoreCapability}, []any{"Blob/get", object{"accountId": "a1", "ids": []string{}}, "c"})[0]
	equal(t, "without the capability", answer[1].(object)["type"], any(jmap.ErrorUnknownMethod))
}

func TestAnswersHoldABoundedAmountOfBlobs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	large := strings.Repeat("x", maxContent/2)
	ids := []string{d.upload(large), d.upload(large + "1"), d.upload(large + "2")}
	answer := d.request("Blob/get", object{"accountId": "a1", "ids": ids, "properties": []string{"digest:sha"}})[0]
	equal(t, "too much", answer[1].(object)["type"], any(jmap.ErrorRequestTooLarge))
	out := d.blob("Blob/get", object{"ids": ids, "properties": []string{"size", "digest:sha"}, "length": 5})
	equal(t, "ranges", len(list(out["list"])), 3)
}
