package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

const (
	configMapsPath = "/api/v1/namespaces/regions/configmaps"
	serviceToken   = "service-account-token"
	reportName     = "virginia-sync-0-report-0"

	streamingRefuse = http.StatusUnprocessableEntity
)

// cluster is as much of an API server as a replica uses: it lists the documents and
// reports of one namespace and takes patches of reports.
type cluster struct {
	documents []corev1.ConfigMap
	reports   chan *tenantdoc.Report
	faults    chan string
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+serviceToken:
		c.fault(w, "a request without the token")
	case r.Method == http.MethodPatch && r.URL.Path == configMapsPath+"/"+reportName:
		c.patch(w, r)
	case r.Method != http.MethodGet || r.URL.Path != configMapsPath:
		c.fault(w, "unexpected "+r.Method+" "+r.URL.Path)
	case query.Get("sendInitialEvents") != "":
		c.answer(w, streamingRefuse, metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: streamingRefuse,
		})
	case query.Get("watch") != "":
		w.Header().Set("Content-Type", "application/json")
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		<-r.Context().Done()
	default:
		c.list(w, query.Get("labelSelector"))
	}
}

func (c *cluster) list(w http.ResponseWriter, selector string) {
	list := corev1.ConfigMapList{
		TypeMeta: metav1.TypeMeta{Kind: "ConfigMapList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: c.documents,
	}
	if strings.Contains(selector, tenantdoc.LabelReplica+"=virginia-sync-0") {
		list.Items = []corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Name: reportName, Namespace: "regions", ResourceVersion: "1"}}}
	} else if !strings.Contains(selector, tenantdoc.LabelRegion+"=virginia") {
		c.fault(w, "list with the selector "+selector)
		return
	}
	c.answer(w, http.StatusOK, list)
}

func (c *cluster) patch(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.fault(w, err.Error())
		return
	}
	patched := corev1.ConfigMap{}
	if err := json.Unmarshal(body, &patched); err != nil {
		c.fault(w, err.Error())
		return
	}
	report, err := tenantdoc.DecodeReport([]byte(patched.Data[tenantdoc.ReportKey]))
	if err != nil {
		c.fault(w, err.Error())
		return
	}
	c.answer(w, http.StatusOK, corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: reportName, ResourceVersion: "2"}, Data: patched.Data,
	})
	c.reports <- report
}

func (c *cluster) fault(w http.ResponseWriter, what string) {
	c.faults <- what
	w.WriteHeader(http.StatusInternalServerError)
}

func (c *cluster) answer(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(object); err != nil {
		c.faults <- err.Error()
	}
}

// serve starts the API at an address of its own, because no keys are fetched from where it is. It returns the
// certificate, too.
func (c *cluster) serve(t *testing.T) (api *httptest.Server, ca []byte) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca = writeCertificate(t, dir)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	api = &httptest.Server{Listener: listener, Config: &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}, TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}}
	api.StartTLS()
	t.Cleanup(api.Close)
	return api, ca
}

// join has a region run in a cluster of its own.
func join(t *testing.T, r *region) *cluster {
	t.Helper()
	raw, err := tenantdoc.Encode(r.document())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{reports: make(chan *tenantdoc.Report, 16), faults: make(chan string, 16), documents: []corev1.ConfigMap{{
		ObjectMeta: metav1.ObjectMeta{
			Name: tenantdoc.ConfigMapName("virginia", "agency/agency"), Namespace: "regions", ResourceVersion: "1",
			Annotations: map[string]string{tenantdoc.AnnotationTenant: "agency/agency"},
		},
		Data: map[string]string{tenantdoc.DocumentKey: string(raw)},
	}}}
	api, ca := c.serve(t)
	host, port, err := net.SplitHostPort(api.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"token": []byte(serviceToken), "ca.crt": ca,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.flags.documentsDir, r.flags.documentsNamespace, r.flags.serviceAccountDir, r.flags.replica = "", "regions", dir, "virginia-sync-0"
	return c
}

func TestReplicaInAClusterServesDocumentsAndReports(t *testing.T) {
	r := newRegion(t)
	c := join(t, r)
	r.start(t)

	if resp, body := r.do(t, http.MethodGet, sessionPath, r.token(t, nil), ""); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, %s", resp.StatusCode, body)
	}
	report := <-c.reports
	if report.BytesStored == 0 {
		t.Error("the report tells of no store")
	}
	report.BytesStored = 0
	want := &tenantdoc.Report{
		Version: tenantdoc.FormatVersion, Replica: "virginia-sync-0", SyncVersion: "dev",
		Storage: []tenantdoc.CellReport{{Cell: tenantdoc.CellEmbedded, State: tenantdoc.CellReady}},
		Tenants: map[string]tenantdoc.TenantReport{"agency/agency": {UID: "uid-1", Generation: 1}},
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	r.stop(t)
	select {
	case fault := <-c.faults:
		t.Error(fault)
	default:
	}
}
