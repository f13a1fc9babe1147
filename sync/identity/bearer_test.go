package identity

import (
	"errors"
	"net/http/httptest"
	"testing"
)

func TestTokenIsTakenFromOneAuthorizationHeaderOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		target  string
		headers []string
		token   string
		code    Code
		reason  Reason
	}{
		"bearer":                  {headers: []string{"Bearer abc.def.ghi"}, token: "abc.def.ghi"},
		"scheme in another case":  {headers: []string{"bearer  abc"}, token: "abc"},
		"padding":                 {headers: []string{"Bearer abc=="}, token: "abc=="},
		"none":                    {code: CodeMissing, reason: ReasonMissing},
		"basic":                   {headers: []string{"Basic dTpw"}, code: CodeMissing, reason: ReasonMissing},
		"empty":                   {headers: []string{""}, code: CodeMissing, reason: ReasonMissing},
		"bearer alone":            {headers: []string{"Bearer"}, code: CodeInvalidRequest, reason: ReasonMalformed},
		"only padding":            {headers: []string{"Bearer =="}, code: CodeInvalidRequest, reason: ReasonMalformed},
		"two tokens":              {headers: []string{"Bearer a b"}, code: CodeInvalidRequest, reason: ReasonMalformed},
		"list":                    {headers: []string{"Bearer a, Bearer b"}, code: CodeInvalidRequest, reason: ReasonMalformed},
		"two headers":             {headers: []string{"Bearer a", "Bearer a"}, code: CodeInvalidRequest, reason: ReasonDuplicate},
		"query":                   {target: "/?access_token=a", code: CodeInvalidRequest, reason: ReasonQuery},
		"query beside the header": {target: "/?access_token=a", headers: []string{"Bearer a"}, code: CodeInvalidRequest, reason: ReasonQuery},
		"query with an escape":    {target: "/?access%5Ftoken=a", code: CodeInvalidRequest, reason: ReasonQuery},
		"another query":           {target: "/?x=access_token", headers: []string{"Bearer a"}, token: "a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := tc.target
			if target == "" {
				target = "/"
			}
			r := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
			for _, h := range tc.headers {
				r.Header.Add("Authorization", h)
			}
			token, err := Bearer(r)
			if token != tc.token {
				t.Errorf("Bearer = %q, want %q", token, tc.token)
			}
			if tc.reason == "" {
				if err != nil {
					t.Fatalf("Bearer: %v", err)
				}
				return
			}
			var own *Error
			if !errors.As(err, &own) || own.Code != tc.code || own.Reason != tc.reason {
				t.Fatalf("Bearer = %v, want %q %q", err, tc.code, tc.reason)
			}
		})
	}
}
