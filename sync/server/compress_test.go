package server

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestLargeAnswersAreCompressedForClientsThatCanReadThem(t *testing.T) {
	t.Parallel()
	r := start(t)
	for accept, want := range map[string]coding{
		"gzip": gzipped, "br, gzip;q=0.5": gzipped, "*": gzipped, "x-gzip": gzipped, "GZIP": gzipped,
		"": identity, "identity": identity, "gzip;q=0": identity, "*;q=0": identity, "*, gzip; q=0": identity, "gzip;q=x": identity,
		"zstd": zstded, "gzip, deflate, br, zstd": zstded, "zstd;q=0.5, gzip": gzipped, "zstd;q=0, gzip": gzipped,
		"zstd;q=0": identity, "*;q=0.1, zstd": zstded, "gzip;q=0.5, zstd;q=0.5": zstded, "ZSTD, gzip;q=0": zstded,
	} {
		for size, letters := range map[string]int{"page": 1000, "list": 40_000} {
			long := strings.Repeat("long ", letters)
			body := `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"x":"` + long + `"},"c"]]}`
			resp, content := r.call(t, body, "Accept-Encoding", accept)
			if got := coding(resp.Header.Get("Content-Encoding")); got != want {
				t.Errorf("Accept-Encoding %q, %s: Content-Encoding %q, want %q", accept, size, got, want)
				continue
			}
			if resp.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("Vary %q", resp.Header.Get("Vary"))
			}
			if want != identity && len(content) > len(long)/5 {
				t.Errorf("Accept-Encoding %q, %s: %d octets are hardly compressed", accept, size, len(content))
			}
			if !bytes.Contains(decompress(t, want, content), []byte(long)) {
				t.Errorf("Accept-Encoding %q, %s: content is lost", accept, size)
			}
		}
	}
	if resp, _ := r.call(t, echoRequest, "Accept-Encoding", "gzip, zstd"); resp.Header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
}

func decompress(t *testing.T, c coding, content []byte) []byte {
	t.Helper()
	reader := io.Reader(bytes.NewReader(content))
	var err error
	switch c {
	case gzipped:
		reader, err = gzip.NewReader(reader)
	case zstded:
		var zr *zstd.Decoder
		if zr, err = zstd.NewReader(reader); err == nil {
			defer zr.Close()
			reader = zr
		}
	case identity:
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
