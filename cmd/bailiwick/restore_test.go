package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// command runs a command of the program and returns what it wrote.
func command(t *testing.T, in io.Reader, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"sync"}, args...))
	root.SetIn(in)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// withSocket has the region serve a control socket.
func (r *region) withSocket(t *testing.T) string {
	t.Helper()
	r.flags.controlSocket = filepath.Join(t.TempDir(), "s")
	return "--control-socket=" + r.flags.controlSocket
}

func TestABackupMakesARegionAgain(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	socket := r.withSocket(t)
	r.start(t)
	u := r.user(t, "user")
	kept := u.deliver("Subject: kept\r\n\r\n" + strings.Repeat("x", 100_000))
	known := u.emailState(t)
	backup, err := command(t, nil, "backup", socket)
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	lost := u.deliver("Subject: lost\r\n\r\nx")
	ahead := u.emailState(t)
	r.stop(t)

	told, err := command(t, strings.NewReader(backup), "verify")
	if err != nil || !strings.HasPrefix(told, `backup of region "regions/virginia" in cloud "gcc-high" at `) {
		t.Errorf("verify: told %q, error %v", told, err)
	}
	place := []string{"restore", "--cloud=" + r.flags.cloud, "--region=" + r.flags.region}
	if _, err := command(t, strings.NewReader(backup), append(place, "--data-dir="+r.flags.dataDir)...); err == nil || !strings.Contains(err.Error(), "a backup is restored into an empty folder") {
		t.Errorf("restore over a store: got error %v", err)
	}
	r.flags.dataDir = t.TempDir()
	told, err = command(t, strings.NewReader(backup), append(place, "--data-dir="+r.flags.dataDir)...)
	if err != nil || !strings.HasPrefix(told, `region "regions/virginia" is restored as it was at `) {
		t.Fatalf("restore: told %q, error %v", told, err)
	}

	r.start(t)
	u = r.user(t, "user")
	if got := u.one(t, "Email/get", fmt.Sprintf(`"ids":[%q,%q],"properties":["size"]`, kept, lost)); len(as[[]any](t, got["list"])) != 1 {
		t.Errorf("got emails %v", got)
	}
	// The account grows past what its client has seen. No id that it may know names anything else.
	last := lost
	for n := range 3 {
		id := u.deliver(fmt.Sprintf("Subject: new %d\r\n\r\nx", n))
		if id <= last {
			t.Errorf("the id %q of a new email does not follow %q", id, last)
		}
		last = id
	}
	if got := u.one(t, "Email/changes", fmt.Sprintf(`"sinceState":%q`, known)); len(as[[]any](t, got["created"])) != 3 {
		t.Errorf("changes since the backup: %v", got)
	}
	if got := u.fails(t, "Email/changes", fmt.Sprintf(`"sinceState":%q`, ahead)); got != "cannotCalculateChanges" {
		t.Errorf("changes since a state that was lost: got error %q", got)
	}
}

// emailState returns the state of the user's emails.
func (u *user) emailState(t *testing.T) string {
	t.Helper()
	return as[string](t, u.one(t, "Email/get", `"ids":[]`)["state"])
}

func TestWrongFlagsOfARestoreAreNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	good := map[string]string{"data-dir": t.TempDir(), "cloud": "c", "region": "regions/virginia"}
	for name := range good {
		args := []string{"restore"}
		for other, value := range good {
			if other != name {
				args = append(args, "--"+other+"="+value)
			}
		}
		want := "--" + name + ": missing, give it the value that the server has"
		if _, err := command(t, strings.NewReader(""), args...); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := command(t, strings.NewReader("no backup"), "verify"); err == nil || !strings.HasPrefix(err.Error(), "standard input is neither an archive") {
		t.Errorf("verify: got error %v", err)
	}
}

func TestAnEpochBeginsOnlyInAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := command(t, nil, "begin-epoch", "--data-dir="+dir); err == nil || !strings.HasPrefix(err.Error(), "--data-dir: there is no store") {
		t.Errorf("got error %v", err)
	}
	r := newRegion(t)
	r.start(t)
	r.stop(t)
	told, err := command(t, nil, "begin-epoch", "--data-dir="+r.flags.dataDir)
	if err != nil || !strings.HasSuffix(told, "has begun: start the servers now\n") {
		t.Errorf("told %q, error %v", told, err)
	}
}
