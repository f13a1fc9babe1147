package check

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheCertificateOfAnAnswerIsToldAndARefusalIsNone(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	got, err := servedBy(t.Context(), server.Client(), server.URL, "good")
	if want := server.Certificate().SerialNumber.String(); err != nil || got != want {
		t.Errorf("serial %q, error %v; want %q", got, err, want)
	}
	if _, err := servedBy(t.Context(), server.Client(), server.URL, "bad"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("error is %v, want one that tells the status", err)
	}
}
