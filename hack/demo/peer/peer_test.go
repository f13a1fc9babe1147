package peer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/peer"
)

// machine records the programs that are run, and does what apt-get and dpkg do.
type machine struct {
	ran []string
	err error
}

func (m *machine) run(_ context.Context, folder, name string, args ...string) error {
	m.ran = append(m.ran, name+" "+strings.Join(args, " "))
	if m.err != nil {
		return m.err
	}
	switch {
	case name == "apt-get" && args[0] == "download":
		for _, name := range args[1:] {
			if err := os.WriteFile(filepath.Join(folder, name+"_1_amd64.deb"), nil, 0o600); err != nil {
				return err
			}
		}
	case name == "dpkg":
		m.ran[len(m.ran)-1] = "dpkg " + filepath.Base(args[1])
		return os.MkdirAll(args[2], 0o700)
	}
	return nil
}

func TestPeersAreInstalledOnce(t *testing.T) {
	t.Setenv("BENCH_DOVECOT", "")
	const packages = "apt-get install --yes --no-install-recommends cyrus-imapd cyrus-caldav cyrus-admin nullmailer libunwind8"
	unpacked := []string{"apt-get download dovecot-core dovecot-imapd", "dpkg dovecot-core_1_amd64.deb", "dpkg dovecot-imapd_1_amd64.deb"}
	for name, c := range map[string]struct {
		root bool
		want []string
	}{
		"root":     {true, append([]string{"apt-get update", "env DEBIAN_FRONTEND=noninteractive " + packages}, unpacked...)},
		"somebody": {false, append([]string{"sudo --non-interactive apt-get update", "sudo --non-interactive env DEBIAN_FRONTEND=noninteractive " + packages}, unpacked...)},
	} {
		t.Run(name, func(t *testing.T) {
			m, dir := &machine{}, t.TempDir()
			i := &peer.Installer{Cyrus: filepath.Join(dir, "master"), Folder: filepath.Join(dir, "dovecot"), Root: c.root, Run: m.run}
			want := []string{"BENCH_DOVECOT=" + filepath.Join(dir, "dovecot", "root")}
			environment, err := i.Install(t.Context())
			if diff := cmp.Diff(want, environment); diff != "" || err != nil {
				t.Fatalf("%v, %s", err, diff)
			}
			if diff := cmp.Diff(c.want, m.ran); diff != "" {
				t.Error(diff)
			}
			if err := os.WriteFile(i.Cyrus, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			m.ran = nil
			if environment, err = i.Install(t.Context()); err != nil || len(m.ran) > 0 || !cmp.Equal(want, environment) {
				t.Errorf("again: %v, %v, %v", environment, err, m.ran)
			}
		})
	}
}

func TestDovecotThatTheUserNamesIsTaken(t *testing.T) {
	t.Setenv("BENCH_DOVECOT", "/somewhere")
	m, dir := &machine{}, t.TempDir()
	i := &peer.Installer{Cyrus: dir, Folder: dir, Run: m.run}
	if environment, err := i.Install(t.Context()); err != nil || environment != nil || len(m.ran) > 0 {
		t.Errorf("%v, %v, %v", environment, err, m.ran)
	}
}

func TestPeersThatCannotBeInstalledAreNamedWithTheRemedy(t *testing.T) {
	t.Setenv("BENCH_DOVECOT", "")
	failed := errors.New("no network")
	for name, cyrus := range map[string]string{"install the peers": "missing", "unpack Dovecot": "."} {
		m, dir := &machine{err: failed}, t.TempDir()
		i := &peer.Installer{Cyrus: filepath.Join(dir, cyrus), Folder: filepath.Join(dir, "dovecot"), Run: m.run}
		_, err := i.Install(t.Context())
		if !errors.Is(err, failed) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "Debian 12") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "dovecot", "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}
