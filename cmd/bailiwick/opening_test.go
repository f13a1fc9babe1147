package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres"
)

func TestAnErrorOfAStoreIsTheStateOfItsCell(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cell string
		err  error
		want tenantdoc.CellReport
	}{
		"well":      {"db", nil, tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellReady}},
		"format":    {"db", fmt.Errorf("open: %w", store.ErrFormat), tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellUnsupportedVersion}},
		"password":  {"db", fmt.Errorf("open: %w", postgres.ErrAuthentication), tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellAuthenticationFailed}},
		"away":      {"db", fmt.Errorf("open: %w", postgres.ErrUnreachable), tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellUnreachable}},
		"old":       {"db", postgres.ErrVersion, tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellUnsupportedVersion}},
		"full":      {"db", postgres.ErrDiskFull, tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellDiskFull}},
		"standby":   {"db", postgres.ErrReadOnly, tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellReadOnly}},
		"disk":      {"db", &os.PathError{Err: syscall.ENOSPC}, tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellDiskFull}},
		"read-only": {"db", &os.PathError{Err: syscall.EROFS}, tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellReadOnly}},
		"a server":  {"db", errors.New("user mail at db.example"), tenantdoc.CellReport{Cell: "db", State: tenantdoc.CellFailed}},
		"embedded":  {tenantdoc.CellEmbedded, errors.New("it is locked"), tenantdoc.CellReport{Cell: tenantdoc.CellEmbedded, State: tenantdoc.CellFailed, Text: "it is locked"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, cellOf(test.cell, test.err)); diff != "" {
				t.Errorf("cell (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPartOfAStoreThatFailsIsToldByItsName(t *testing.T) {
	t.Parallel()
	opening := fmt.Errorf("--postgres-dsn-dir: %w", &partError{"west", postgres.ErrUnreachable})
	if diff := cmp.Diff(tenantdoc.CellReport{Cell: "west", State: tenantdoc.CellUnreachable}, unopened(opening)); diff != "" {
		t.Errorf("a store that cannot be opened (-want +got):\n%s", diff)
	}
	p := parts{
		"west":  func(context.Context) error { return postgres.ErrReadOnly },
		"blobs": func(context.Context) error { return nil },
	}
	want := []tenantdoc.CellReport{{Cell: "blobs", State: tenantdoc.CellReady}, {Cell: "west", State: tenantdoc.CellReadOnly}}
	got := p.check(t.Context())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the parts of an open store (-want +got):\n%s", diff)
	}
	var state storeState
	if !state.set(got...) || state.set(got...) {
		t.Error("what changed is not told once")
	}
}

func TestReplicaThatCannotOpenItsStoreIsUpAndNotReadyAndReportsWhy(t *testing.T) {
	r := newRegion(t)
	c := join(t, r)
	blocked := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.flags.dataDir = filepath.Join(blocked, "store")
	r.begin(t)
	report := <-c.reports
	if len(report.Storage) != 1 || report.Storage[0].State != tenantdoc.CellFailed || !strings.Contains(report.Storage[0].Text, "--data-dir") {
		t.Errorf("the report tells %+v of the store, want why it cannot be opened", report.Storage)
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, sessionPath: http.StatusServiceUnavailable} {
		resp, body := r.do(t, http.MethodGet, path, "", "")
		if resp.StatusCode != want || want != http.StatusOK && !strings.Contains(string(body), "the store cannot be opened") {
			t.Errorf("%s: status %d, %s; want %d", path, resp.StatusCode, body, want)
		}
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	r.ready(t)
	if resp, body := r.do(t, http.MethodGet, sessionPath, r.token(t, nil), ""); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, %s once the store is open", resp.StatusCode, body)
	}
	eventually(t, "the report tells that the store is open", func() bool {
		select {
		case report := <-c.reports:
			return len(report.Storage) == 1 && report.Storage[0].State == tenantdoc.CellReady
		default:
			return false
		}
	})
	r.stop(t)
}

func TestReplicaThatIsStoppedWhileItWaitsForItsStoreEndsWell(t *testing.T) {
	r := newRegion(t)
	c := join(t, r)
	r.flags.dataDir = filepath.Join(r.flags.tlsDir, "tls.crt", "store")
	r.begin(t)
	<-c.reports
	r.stop(t)
}

func TestReplicaOutsideAClusterEndsWhenItCannotOpenItsStore(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.flags.dataDir = filepath.Join(r.flags.tlsDir, "tls.crt", "store")
	err := runReplica(context.Background(), &r.flags, newLogger(newSyncCommand(), r.flags.logLevel))
	if err == nil || !strings.HasPrefix(err.Error(), "--data-dir: ") {
		t.Errorf("ended with %v, want an error that names the flag", err)
	}
}
