package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const sessionPath = "/.well-known/jmap"

func TestWrongFlagsAreNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"region": "regions/virginia", "cloud": "c", "geography": "NAM", "url": "https://mail.example", "address": "127.0.0.1",
		"tls-dir": "/tls", "data-dir": "/data", "documents-dir": "/documents",
	}
	for want, change := range map[string]map[string]string{
		"--region: missing, give it a value":                                                              {"region": ""},
		`--region: "virginia" is not namespace/name`:                                                      {"region": "virginia"},
		`--region: "a/b/c" is not namespace/name`:                                                         {"region": "a/b/c"},
		"--cloud: missing, give it a value":                                                               {"cloud": ""},
		"--geography: missing, give it a value":                                                           {"geography": ""},
		"--url: missing, give it a value":                                                                 {"url": ""},
		`--url: "http://mail.example" is not an https URL without a path`:                                 {"url": "http://mail.example"},
		`--url: "https://mail.example/" is not an https URL without a path`:                               {"url": "https://mail.example/"},
		"--address: missing, give it a value":                                                             {"address": ""},
		`--address: "localhost" is not an IP address`:                                                     {"address": "localhost"},
		"--tls-dir: missing, give it a value":                                                             {"tls-dir": ""},
		"--data-dir or --postgres-dsn-dir: give one of them":                                              {"data-dir": ""},
		"--data-dir and --postgres-dsn-dir: give only one of them":                                        {"postgres-dsn-dir": "/dsn", "replica": "sync-0"},
		"--s3-bucket: missing, give all of --s3-endpoint, --s3-bucket and --s3-credentials-file, or none": {"s3-endpoint": "https://s3.example"},
		`--s3-endpoint: endpoint "http://s3.example": invalid: mail would travel unencrypted: use https`:  {"data-dir": "", "postgres-dsn-dir": "/dsn", "replica": "sync-0", "s3-endpoint": "http://s3.example", "s3-bucket": "b", "s3-credentials-file": "/c"},
		"--drain-delay: -1s is less than nothing, give 0s or more":                                        {"drain-delay": "-1s"},
		"--drain-timeout: 0s gives requests no time, give more than 0s":                                   {"drain-timeout": "0s"},
		`--minimum-tls: "1.1" is not 1.2 or 1.3`:                                                          {"minimum-tls": "1.1"},
		"--documents-dir or --documents-namespace: give one of them":                                      {"documents-dir": ""},
		"--documents-dir and --documents-namespace: give only one of them":                                {"documents-namespace": "ns"},
		"--replica: missing, give the name of the pod":                                                    {"documents-dir": "", "documents-namespace": "ns"},
		"--replica: missing, give the name of the pod, by which it writes":                                {"data-dir": "", "postgres-dsn-dir": "/dsn"},
	} {
		args := []string{"sync"}
		for name, value := range good {
			if changed, ok := change[name]; ok {
				value = changed
			}
			args = append(args, "--"+name+"="+value)
		}
		for name, value := range change {
			if _, ok := good[name]; !ok {
				args = append(args, "--"+name+"="+value)
			}
		}
		root := newRoot()
		root.SetArgs(args)
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if err := root.ExecuteContext(t.Context()); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}
	root := newRoot()
	root.SetArgs([]string{"version"})
	root.SetOut(out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "bailiwick "+version+" go") {
		t.Errorf("printed %q", out)
	}
}

func TestPartsThatCannotStartNameTheirFlag(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*syncFlags){
		"--data-dir: ":                 func(f *syncFlags) { f.dataDir = file },
		"--documents-dir: ":            func(f *syncFlags) { f.documentsDir = filepath.Join(file, "none") },
		"--address, --port: ":          func(f *syncFlags) { f.port = uint16(number) },
		"--address, --metrics-port: ":  func(f *syncFlags) { f.metricsPort = uint16(number) },
		"--service-account-dir: KUBER": func(f *syncFlags) { f.documentsDir, f.documentsNamespace, f.replica = "", "regions", "virginia-sync-0" },
	} {
		r := newRegion(t)
		change(&r.flags)
		if err := runReplica(t.Context(), &r.flags, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestTokensDecideWhoIsServed(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	for name, test := range map[string]struct {
		token     string
		status    int
		challenge string
	}{
		"good":             {r.token(t, nil), 200, ""},
		"none":             {"", 401, `resource_metadata="` + r.flags.url + `/.well-known/oauth-protected-resource"`},
		"garbage":          {"a.b.c", 401, `error="invalid_token"`},
		"expired":          {r.token(t, map[string]any{"iat": time.Now().Add(-2 * time.Hour).Unix(), "nbf": nil, "exp": time.Now().Add(-time.Hour).Unix()}), 401, `error="invalid_token"`},
		"another audience": {r.token(t, map[string]any{"aud": "https://other.example"}), 401, `error="invalid_token"`},
		"another issuer":   {r.token(t, map[string]any{"iss": "https://other.example"}), 401, `error="invalid_token"`},
		"another domain":   {r.token(t, map[string]any{"email": "user@other.example"}), 403, ""},
		"unknown location": {r.token(t, map[string]any{"xms_pdl": "APC"}), 403, ""},
		"home by name":     {r.token(t, map[string]any{"xms_pdl": "NAM"}), 200, ""},
		"elsewhere":        {r.token(t, map[string]any{"xms_pdl": "EUR"}), 307, ""},
	} {
		resp, body := r.do(t, http.MethodGet, sessionPath, test.token, "")
		if resp.StatusCode != test.status || !strings.Contains(resp.Header.Get("WWW-Authenticate"), test.challenge) {
			t.Errorf("%s: status %d, challenge %q, body %s", name, resp.StatusCode, resp.Header.Get("WWW-Authenticate"), body)
		}
	}
	if strings.Contains(r.logs.String(), "@agency.example") || strings.Contains(r.logs.String(), "eyJ") {
		t.Errorf("the log holds addresses or tokens:\n%s", r.logs)
	}
}

func TestMailboxElsewhereIsSentToItsRegion(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	token := r.token(t, map[string]any{"xms_pdl": "EUR"})
	resp, _ := r.do(t, http.MethodGet, sessionPath, token, "")
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusTemporaryRedirect || got != "https://paris.example/.well-known/jmap" {
		t.Errorf("status %d, Location %q", resp.StatusCode, got)
	}
	resp, body := r.do(t, http.MethodPost, "/jmap/api", token, `{"using":[],"methodCalls":[]}`)
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
	want := map[string]any{"geography": "EUR", "url": "https://paris.example"}
	if diff := cmp.Diff(any(want), decodeObject(t, body)["region"]); diff != "" {
		t.Errorf("region in the problem (-want +got):\n%s", diff)
	}
}

func TestChangedDocumentsAreEnforced(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	status := func() int {
		resp, _ := r.do(t, http.MethodGet, sessionPath, r.token(t, nil), "")
		return resp.StatusCode
	}
	if got := status(); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	suspended := r.document()
	suspended.Generation, suspended.Suspended = 2, true
	r.write(t, suspended)
	eventually(t, "the suspended tenant is refused", func() bool { return status() == http.StatusForbidden })

	r.writeRaw(t, []byte(`{"version":"2"}`))
	eventually(t, "the bad document is refused", func() bool {
		return strings.Contains(r.logs.String(), "run operator and sync server of the same release")
	})
	if got := status(); got != http.StatusForbidden {
		t.Errorf("a bad document replaced the last good one: status %d", got)
	}
	active := r.document()
	active.Generation = 3
	r.write(t, active)
	eventually(t, "the tenant is served again", func() bool { return status() == http.StatusOK })
}

func TestMetadataNamesTheIssuersOfTenants(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	resp, body := r.do(t, http.MethodGet, "/.well-known/oauth-protected-resource", "", "")
	metadata := decodeObject(t, body)
	if diff := cmp.Diff(any([]any{r.issuer.URL()}), metadata["authorization_servers"]); diff != "" || resp.StatusCode != http.StatusOK || metadata["resource"] != r.flags.url {
		t.Errorf("status %d, metadata %s (-want +got):\n%s", resp.StatusCode, body, diff)
	}
}

func TestMetricsTellWhatIsServed(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	metrics := r.metrics(t)
	for _, want := range []string{
		`bailiwick_sync_info{cloud="gcc-high",geography="NAM",region="regions/virginia",version="dev"} 1`,
		`bailiwick_sync_tls_reloads_total{result="loaded"} 1`,
		"go_goroutines ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestFolderSizeCountsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"x": 10, "a/y": 20, "a/b/z": 30} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if got, err := folderSize(t.Context(), dir); err != nil || got != 60 {
		t.Errorf("size %d, %v", got, err)
	}
	if got, err := folderSize(t.Context(), filepath.Join(dir, "none")); err != nil || got != 0 {
		t.Errorf("size of nothing: %d, %v", got, err)
	}
}
