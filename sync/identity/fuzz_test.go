package identity

import (
	"errors"
	"net/http"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

func FuzzTokensAreReadOrRefused(f *testing.F) {
	i := identitytest.New(f)
	doc := i.Document()
	v := newVerifier(f, Options{})
	good := i.Token(f, noon, nil)
	f.Add(good)
	f.Add("e30.e30.")
	f.Add("a.b.c.d.e")
	f.Add(unsigned(f, map[string]any{"alg": "none", "typ": "at+jwt"}, i.Claims(noon, nil)))
	f.Add(identitytest.Sign(f, i.Key(), "JWT", i.Claims(noon, map[string]any{"aud": []any{1, "x"}, "exp": 1e18})))
	f.Fuzz(func(t *testing.T, raw string) {
		parsed, err := Parse(raw)
		if err != nil {
			if own := (*Error)(nil); !errors.As(err, &own) {
				t.Fatalf("Parse = %v, want an *Error", err)
			}
			return
		}
		parsed.Claims.Audience()
		parsed.Claims.Words("scope")
		if at, ok, err := parsed.Claims.Time("exp"); err == nil && ok && at.Unix() < 0 {
			t.Fatalf("exp %v before 1970", at)
		}
		token, err := v.Verify(t.Context(), parsed, &doc)
		if err == nil && raw != good && token.Subject != "user-1" {
			t.Fatalf("token %q of %q was believed", raw, token.Subject)
		}
	})
}

func FuzzAuthorizationHeadersAreReadOrRefused(f *testing.F) {
	for _, s := range []string{"Bearer a.b.c", "bearer", "Basic x", "Bearer  a=", "Bearer\ta"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://sync.example/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		token, err := Bearer(r)
		if (err == nil) != isToken68(token) {
			t.Fatalf("Bearer(%q) = %q, %v", header, token, err)
		}
	})
}
