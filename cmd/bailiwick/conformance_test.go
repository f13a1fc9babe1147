package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	claims := r.issuer.Claims(time.Now(), nil)
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	key := r.issuer.Key()
	public, err := x509.MarshalPKIXPublicKey(key.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	other := identitytest.New(t).Key()
	disguised := other
	disguised.KeyID = key.KeyID
	good, another := r.token(t, nil), r.token(t, map[string]any{"sub": "other"})
	for name, token := range map[string]string{
		"no signature":               encode([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + encode(payload) + ".",
		"no signature, other case":   encode([]byte(`{"alg":"NONE","typ":"at+jwt"}`)) + "." + encode(payload) + ".",
		"public key as a secret":     identitytest.Sign(t, jose.JSONWebKey{Key: public, KeyID: key.KeyID, Algorithm: "HS256"}, "at+jwt", claims),
		"unknown key":                identitytest.Sign(t, other, "at+jwt", claims),
		"other key under a good id":  identitytest.Sign(t, disguised, "at+jwt", claims),
		"signature of another token": good[:strings.LastIndex(good, ".")] + another[strings.LastIndex(another, "."):],
		"ID token":                   identitytest.Sign(t, key, "JWT", claims),
		"bound to a key":             r.token(t, map[string]any{"cnf": map[string]any{"jkt": "x"}}),
	} {
		for _, path := range []string{sessionPath, "/jmap/eventsource?types=*&closeafter=no&ping=0"} {
			if resp, body := r.do(t, http.MethodGet, path, token, ""); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(resp.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s: %s: status %d, challenge %q, body %s", name, path, resp.StatusCode, resp.Header.Get("WWW-Authenticate"), body)
			}
		}
	}
}

func TestTenantsDoNotReadEachOther(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	ada, eve := r.user(t, "ada"), r.user(t, "eve")
	blob := ada.upload(t, strings.NewReader("secret"))
	for _, path := range []string{"/jmap/download/" + ada.account + "/" + blob + "/x", "/jmap/download/" + eve.account + "/" + blob + "/x"} {
		if resp, body := r.do(t, http.MethodGet, path, eve.token, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d: %s", path, resp.StatusCode, body)
		}
	}
	if resp, _ := r.do(t, http.MethodPost, "/jmap/upload/"+ada.account+"/", eve.token, "x"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("upload: status %d", resp.StatusCode)
	}
	for _, method := range []string{"Mailbox/get", "Email/query", "Email/set", "Thread/changes", "Email/parse"} {
		answer := eve.send(t, fmt.Sprintf(`{%s,"methodCalls":[[%q,{"accountId":%q,"sinceState":"0","blobIds":[]},"0"]]}`, usingMail, method, ada.account))[0]
		if kind := as[map[string]any](t, answer[1])["type"]; answer[0] != "error" || (kind != "accountNotFound" && kind != "invalidArguments") {
			t.Errorf("%s: %v", method, answer)
		}
	}
	if got := eve.fails(t, "Blob/copy", fmt.Sprintf(`"fromAccountId":%q,"blobIds":[%q]`, ada.account, blob)); got != "fromAccountNotFound" {
		t.Errorf("Blob/copy: %s", got)
	}
}

func TestRequestsThatCannotBeProcessedNameTheirFault(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	token := r.token(t, nil)
	echo := func(args string) string {
		return `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",` + args + `,"0"]]}`
	}
	for name, test := range map[string]struct {
		body, kind, limit string
	}{
		"not JSON":           {"{", "notJSON", ""},
		"empty":              {"", "notJSON", ""},
		"name twice":         {`{"using":[],"using":[],"methodCalls":[]}`, "notJSON", ""},
		"name twice, deep":   {echo(`{"a":{"b":1,"b":2}}`), "notJSON", ""},
		"not UTF-8":          {echo("{\"a\":\"\xff\"}"), "notJSON", ""},
		"lone surrogate":     {echo(`{"a":"\ud800"}`), "notJSON", ""},
		"noncharacter":       {echo(`{"a":"\uffff"}`), "notJSON", ""},
		"more than one":      {echo(`{}`) + "{}", "notJSON", ""},
		"byte order mark":    {"\xef\xbb\xbf" + echo(`{}`), "notJSON", ""},
		"no request":         {`[]`, "notRequest", ""},
		"no using":           {`{"methodCalls":[]}`, "notRequest", ""},
		"no calls":           {`{"using":[]}`, "notRequest", ""},
		"call of two":        {`{"using":[],"methodCalls":[["Core/echo",{}]]}`, "notRequest", ""},
		"arguments are null": {`{"using":[],"methodCalls":[["Core/echo",null,"0"]]}`, "notRequest", ""},
		"unknown capability": {`{"using":["urn:ietf:params:jmap:calendars"],"methodCalls":[]}`, "unknownCapability", ""},
		"too many calls":     {`{"using":[],"methodCalls":[` + strings.Repeat(`["Core/echo",{},"0"],`, 64) + `["Core/echo",{},"0"]]}`, "limit", "maxCallsInRequest"},
		"too large":          {echo(`{"a":"` + strings.Repeat("x", 10_000_000) + `"}`), "limit", "maxSizeRequest"},
	} {
		resp, body := r.do(t, http.MethodPost, "/jmap/api", token, test.body)
		problem := decodeObject(t, body)
		want := map[string]any{"type": "urn:ietf:params:jmap:error:" + test.kind, "status": float64(http.StatusBadRequest), "detail": problem["detail"]}
		if test.limit != "" {
			want["limit"] = test.limit
		}
		if diff := cmp.Diff(want, problem); diff != "" || resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Content-Type") != "application/problem+json" || problem["detail"] == "" {
			t.Errorf("%s: status %d (-want +got):\n%s", name, resp.StatusCode, diff)
		}
	}
	if resp, body := r.do(t, http.MethodPost, "/jmap/api", token, `{"using":[],"methodCalls":[["Core/echo",{},"0"]]}`); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"unknownMethod"`) {
		t.Errorf("without capabilities: status %d: %s", resp.StatusCode, body)
	}
}

func TestNothingOfAMailboxElsewhereIsServed(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	token := r.token(t, map[string]any{"xms_pdl": "EUR"})
	account := r.user(t, "user").account
	for _, test := range []struct{ method, path string }{
		{http.MethodPost, "/jmap/api"},
		{http.MethodPost, "/jmap/upload/" + account + "/"},
		{http.MethodGet, "/jmap/download/" + account + "/B0/x"},
		{http.MethodGet, "/jmap/eventsource?types=*&closeafter=no&ping=0"},
	} {
		resp, body := r.do(t, test.method, test.path, token, "x")
		if problem := decodeObject(t, body); resp.StatusCode != http.StatusMisdirectedRequest || problem["status"] != 421.0 || as[map[string]any](t, problem["region"])["url"] != "https://paris.example" {
			t.Errorf("%s: status %d: %s", test.path, resp.StatusCode, body)
		}
	}
	for _, path := range []string{sessionPath, "/jmap/session"} {
		if resp, _ := r.do(t, http.MethodGet, path, token, ""); resp.StatusCode != http.StatusTemporaryRedirect || resp.Header.Get("Location") != "https://paris.example"+path {
			t.Errorf("%s: status %d to %q", path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

func TestOddMessagesAreKeptWhole(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	u := r.user(t, "user")
	multipart := "Subject: odd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	for name, message := range map[string]func() io.Reader{
		"50 MB": func() io.Reader {
			return strings.NewReader("Subject: odd\r\n\r\n" + strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", 700_000))
		},
		"field of 1 MB": func() io.Reader {
			return strings.NewReader("X-Long: " + strings.Repeat("x", 1_000_000) + "\r\nSubject: odd\r\n\r\nx")
		},
		"subject of 1 MB": func() io.Reader {
			return strings.NewReader("X: y\r\nSubject: odd" + strings.Repeat(" x", 500_000) + "\r\n\r\nx")
		},
		"header of 1 MB": func() io.Reader {
			return strings.NewReader("Subject: odd\r\n" + strings.Repeat("To: a@b.c, d@e.f\r\n", 55_000) + "\r\nx")
		},
		"no end of the header": func() io.Reader { return strings.NewReader("Subject: odd") },
		"no closing boundary":  func() io.Reader { return strings.NewReader(multipart + "--b\r\n\r\nx") },
		"no boundary at all":   func() io.Reader { return strings.NewReader("Subject: odd\r\nContent-Type: multipart/mixed\r\n\r\nx") },
		"deep": func() io.Reader {
			return strings.NewReader(multipart + strings.Repeat("--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", 5000))
		},
		"broken transfer coding": func() io.Reader {
			return strings.NewReader("Subject: odd\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!")
		},
		"unknown charset": func() io.Reader {
			return strings.NewReader("Subject: odd\r\nContent-Type: text/plain; charset=x-none\r\n\r\n\xff")
		},
		"NUL and octets": func() io.Reader { return strings.NewReader("Subject: odd\r\nFrom: \x00\xff\r\n\r\n\x00\xfe") },
	} {
		created := u.add(t, "inbox", message())
		read := u.one(t, "Email/get", fmt.Sprintf(`"ids":[%q],"properties":["subject","size","preview","headers","bodyStructure","bodyValues"],"fetchAllBodyValues":true,"maxBodyValueBytes":1000`, created["id"]))
		email := as[map[string]any](t, as[[]any](t, read["list"])[0])
		if !strings.HasPrefix(fmt.Sprint(email["subject"]), "odd") || email["size"] != created["size"] {
			t.Errorf("%s: subject %.20v, size %v of %v", name, email["subject"], email["size"], created["size"])
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.flags.url+"/jmap/download/"+u.account+"/"+fmt.Sprint(created["blobId"])+"/m.eml?type=message%2Frfc822", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+u.token)
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		want, wantErr := io.ReadAll(message())
		if err != nil || wantErr != nil || string(got) != string(want) || resp.Header.Get("Content-Type") != "message/rfc822" {
			t.Errorf("%s: came back with %d of %d octets, %v", name, len(got), len(want), err)
		}
		_ = resp.Body.Close()
	}
	empty := u.upload(t, strings.NewReader(""))
	out := u.one(t, "Email/import", fmt.Sprintf(`"emails":{"m":{"blobId":%q,"mailboxIds":{%q:true}}}`, empty, u.boxes["inbox"]))
	if refused := as[map[string]any](t, as[map[string]any](t, out["notCreated"])["m"]); refused["type"] != "invalidEmail" {
		t.Errorf("a message of no octets: %v", out)
	}
	if total := u.one(t, "Email/query", `"calculateTotal":true,"filter":{"subject":"odd"}`)["total"]; total != 11.0 {
		t.Errorf("%v messages are found", total)
	}
}
