package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/control"
	"github.com/bailiwick-dev/bailiwick/sync/mail"
)

// must runs a command of the program, which must succeed.
func must(t *testing.T, in io.Reader, args ...string) string {
	t.Helper()
	out, err := command(t, in, args...)
	if err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	return out
}

// again is the region with the same documents and issuer, on an empty folder.
func (r *region) again(t *testing.T) *region {
	t.Helper()
	other := newRegion(t)
	other.issuer = r.issuer
	other.write(t, other.document())
	other.withSocket(t)
	return other
}

// subjects reads the subjects of all emails of a user, and the content of each.
func (u *user) subjects(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	ids := map[string]bool{}
	for _, id := range as[[]any](t, u.one(t, "Email/query", `"filter":null`)["ids"]) {
		ids[fmt.Sprint(id)] = true
	}
	read := u.one(t, "Email/get", fmt.Sprintf(`"ids":[%s],"properties":["subject","blobId","size"]`, quoted(ids)))
	for _, item := range as[[]any](t, read["list"]) {
		email := as[map[string]any](t, item)
		resp, body := u.region.do(t, http.MethodGet, "/jmap/download/"+u.account+"/"+fmt.Sprint(email["blobId"])+"/m", u.token, "")
		if resp.StatusCode != http.StatusOK || float64(len(body)) != email["size"] {
			t.Errorf("email %v: status %d, %d octets of %v", email["subject"], resp.StatusCode, len(body), email["size"])
		}
		out[fmt.Sprint(email["subject"])] = true
	}
	return out
}

// letters adds some letters, of which every other one is too large to lie among the keys and cannot be compressed much.
func (u *user) letters(t *testing.T, name string, n int) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range n {
		var body strings.Builder
		for range i % 2 * 7_000 {
			fmt.Fprintf(&body, "%016x", random.Uint64())
		}
		u.add(t, "inbox", strings.NewReader(fmt.Sprintf("Subject: %s %d\r\n\r\n%s", name, i, body.String())))
	}
}

func TestAMailboxMovesInAnArchive(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	socket := r.withSocket(t)
	r.start(t)
	u := r.user(t, "ada")
	u.letters(t, "letter", 4)
	state := fmt.Sprint(u.one(t, "Email/get", `"ids":[]`)["state"])
	info, err := os.Stat(r.flags.controlSocket)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("the control socket: %v, %v", info, err)
	}
	data := must(t, nil, "export", "ada@agency.example", socket)
	if by := must(t, nil, "export", u.account, socket); len(by) == 0 {
		t.Error("nothing is exported by id")
	}
	if got := must(t, strings.NewReader(data), "verify"); !strings.Contains(got, `archive of account "`+u.account+`" of tenant "agency/agency"`) {
		t.Errorf("verify says %q", got)
	}
	if _, err := command(t, nil, "export", "nobody@agency.example", socket); err == nil || !strings.Contains(err.Error(), "no mailbox of this region") {
		t.Errorf("export of nobody: got error %v", err)
	}
	if _, err := command(t, strings.NewReader(data), "import", socket); err == nil || !strings.Contains(err.Error(), mail.ErrExists.Error()) {
		t.Errorf("import over it: got error %v", err)
	}
	if logs := r.logs.String(); strings.Contains(logs, "@agency.example") || !strings.Contains(logs, `"action":"export","account":"`+u.account+`"`) {
		t.Errorf("the log says %s", logs)
	}
	r.stop(t)

	other := r.again(t)
	other.start(t)
	if _, err := command(t, strings.NewReader(data[:len(data)/2]), "import", "--control-socket="+other.flags.controlSocket); err == nil || !strings.Contains(err.Error(), archive.ErrTruncated.Error()) {
		t.Errorf("import of a half: got error %v", err)
	}
	if got := must(t, strings.NewReader(data), "import", "--control-socket="+other.flags.controlSocket); !strings.Contains(got, "is imported") {
		t.Errorf("import says %q", got)
	}
	if got := must(t, strings.NewReader(data), "import", "--control-socket="+other.flags.controlSocket); !strings.Contains(got, "was imported from this archive before") {
		t.Errorf("import says %q", got)
	}
	u = other.user(t, "ada")
	if got := u.subjects(t); len(got) != 4 || !got["letter 3"] {
		t.Errorf("the mailbox has %v", got)
	}
	if got := as[[]any](t, u.one(t, "Email/changes", fmt.Sprintf(`"sinceState":%q`, state))["created"]); len(got) != 0 {
		t.Errorf("%d emails are new to a client", len(got))
	}
}

func TestAnArchiveIsKeptOutOfWhereItsMailboxDoesNotLive(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	socket := r.withSocket(t)
	r.start(t)
	u := r.user(t, "ada")
	data := must(t, nil, "export", u.account, socket)
	r.stop(t)
	refused := func(change func(other *region), want string, args ...string) {
		t.Helper()
		other := r.again(t)
		change(other)
		other.start(t)
		defer other.stop(t)
		_, err := command(t, strings.NewReader(data), append([]string{"import", "--control-socket=" + other.flags.controlSocket}, args...)...)
		if (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("want %q: got error %v", want, err)
		}
		if want == "" {
			return
		}
		if _, err := command(t, nil, "discard-import", u.account, "--control-socket="+other.flags.controlSocket); err == nil || !strings.Contains(err.Error(), mail.ErrNoImport.Error()) {
			t.Errorf("something was begun: %v", err)
		}
	}
	paris := func(other *region) {
		d := other.document()
		d.Region, other.flags.region = "regions/paris", "regions/paris"
		other.write(t, d)
	}
	refused(func(other *region) {
		d := other.document()
		d.Cloud, other.flags.cloud = "worldwide", "worldwide"
		other.write(t, d)
	}, `cloud is "gcc-high" and this is cloud "worldwide"`, "--home")
	refused(paris, "give --home")
	refused(paris, "", "--home")
	refused(func(other *region) {
		d := other.document()
		d.Tenant = "other/other"
		other.write(t, d)
	}, "has no mailboxes in this region")
}

func TestAnImportGoesOnAfterItsServerWasKilled(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	socket := r.withSocket(t)
	r.start(t)
	u := r.user(t, "ada")
	u.letters(t, "letter", 200)
	data := must(t, nil, "export", u.account, socket)
	r.stop(t)
	other := r.again(t)
	kill := other.launch(t)
	from, to := io.Pipe()
	c := control.NewClient(other.flags.controlSocket)
	defer c.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Import(t.Context(), from, control.Import{})
		ended <- errFrom(from, err)
	}()
	if _, err := io.WriteString(to, data[:len(data)-1024]); err != nil {
		t.Fatal(err)
	}
	kill()
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("an import of which the end is missing succeeded")
	}
	other.launch(t)
	got := must(t, strings.NewReader(data), "import", "--control-socket="+other.flags.controlSocket)
	if !strings.Contains(got, "is imported") {
		t.Errorf("import says %q", got)
	}
	if got := other.user(t, "ada").subjects(t); len(got) != 200 {
		t.Errorf("the mailbox has %d letters", len(got))
	}
}

// errFrom ends what an import reads, and returns its error.
func errFrom(from *io.PipeReader, err error) error {
	_ = from.Close()
	return err
}
