package world

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
)

func TestTokenThatCannotBeHadNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage.crt")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	known := cast.Residents()[0].Email
	cases := map[string]struct{ email, caFile, want string }{
		"a stranger":     {"eve@elsewhere.example", garbage, `token for "eve@elsewhere.example": choose one of ["` + known + `"`},
		"no file":        {known, filepath.Join(folder, "nowhere"), "--issuer-ca: open "},
		"no certificate": {known, garbage, "--issuer-ca: "},
	}
	for name, c := range cases {
		if _, err := NewToken(t.Context(), c.email, c.caFile); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestPeopleSignInThroughEitherFlow(t *testing.T) {
	t.Parallel()
	authority, err := identity.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := identity.Start(t.Context(), identity.Config{
		Address: "127.0.0.1:0", Audience: cast.Audience, Users: cast.Worldwide().Users, Authority: authority,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := issuer.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for _, device := range []bool{false, true} {
		token, err := signIn(t.Context(), issuer.URL(), authority.Pool(), "ada@contoso.example", device)
		if err != nil || token.AccessToken == "" || token.Expiry.IsZero() {
			t.Errorf("device %v: %v", device, err)
		}
	}
}

func TestQuotedTextIsOneWordOfAShell(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"plain", "with space", "it's", `$HOME "x" \ ;`, ""} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q became %q, %v", text, out, err)
		}
	}
}
