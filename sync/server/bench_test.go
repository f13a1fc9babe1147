package server

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// BenchmarkAPI is the cost of a request apart from its methods, without the network.
func BenchmarkAPI(b *testing.B) {
	m := newMemory()
	s, err := New(Options{
		BaseURL: "https://mail.example", Blobs: m, States: m, Accounts: m,
		Gate: &gate{refusals: map[string]*jmap.Refusal{}, expires: time.Now().Add(time.Hour)},
		Load: LoadLimits{AccountRequests: Rate{PerSecond: 1e9, Burst: 1 << 40}, TenantRequests: Rate{PerSecond: 1e9, Burst: 1 << 40}},
	})
	if err != nil {
		b.Fatal(err)
	}
	large := `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"x":"` + strings.Repeat("letters ", 12_500) + `"},"c"]]}`
	for name, body := range map[string]string{"echo": echoRequest, "echo-100kB": large} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, jmap.PathAPI, strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer ada")
				r.Header.Set("Content-Type", "application/json")
				w := &discard{header: http.Header{}}
				s.Handler().ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkCompress is the cost of compressing an answer of a mail list's size.
func BenchmarkCompress(b *testing.B) {
	row := []byte(`{"id":"e1f","threadId":"t1f","from":[{"name":"Ada","email":"ada@agency.example"}],"subject":"Minutes","receivedAt":"2026-11-23T10:00:00Z"},`)
	body := bytes.Repeat(row, 50)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := io.Discard.Write(encode(body, gzipped).body); err != nil {
			b.Fatal(err)
		}
	}
}
