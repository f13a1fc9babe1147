package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func (r *running) upload(t *testing.T, content string, headers ...string) uploaded {
	t.Helper()
	resp, body := r.do(t, http.MethodPost, "/jmap/upload/ada/", content, headers...)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("upload: status %d, %s", resp.StatusCode, body)
	}
	answer := uploaded{}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestUploadTellsWhatWasStored(t *testing.T) {
	t.Parallel()
	r := start(t)
	for header, want := range map[string]string{
		"message/rfc822":                "message/rfc822",
		"Text/Plain; charset=\"utf-8\"": "text/plain; charset=utf-8",
		"":                              "application/octet-stream",
		"not a type":                    "application/octet-stream",
	} {
		got := r.upload(t, "hello", "Content-Type", header)
		if diff := cmp.Diff(uploaded{AccountID: "ada", BlobID: got.BlobID, Type: want, Size: 5}, got); diff != "" || !jmap.ValidID(got.BlobID) {
			t.Errorf("Content-Type %q (-want +got):\n%s", header, diff)
		}
	}
	if got := r.upload(t, ""); got.Size != 0 {
		t.Errorf("an empty upload has %d octets", got.Size)
	}
}

func TestUploadOf50MegabytesComesBack(t *testing.T) {
	t.Parallel()
	r := start(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 50_000_000/16)
	got := r.upload(t, string(content), "Content-Type", "message/rfc822")
	if got.Size != 50_000_000 {
		t.Errorf("size %d", got.Size)
	}
	resp, body := r.do(t, http.MethodGet, "/jmap/download/ada/"+got.BlobID+"/big.eml?type=message/rfc822", "")
	if resp.StatusCode != http.StatusOK || sha256.Sum256(body) != sha256.Sum256(content) {
		t.Errorf("status %d, %d octets came back", resp.StatusCode, len(body))
	}
}

func TestUploadOverTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxSizeUpload = 100
	})
	resp, body := r.do(t, http.MethodPost, "/jmap/upload/ada/", strings.Repeat("x", 101))
	wantProblem(t, resp, body, http.StatusRequestEntityTooLarge, jmap.ProblemLimit, "maxSizeUpload")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/jmap/upload/ada/", io.MultiReader(strings.NewReader(strings.Repeat("x", 101))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	resp, err = r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, resp, body, http.StatusRequestEntityTooLarge, jmap.ProblemLimit, "maxSizeUpload")
	if got := r.upload(t, strings.Repeat("x", 100)); got.Size != 100 {
		t.Errorf("an upload at the limit has %d octets", got.Size)
	}
}

func TestUploadsThatTheStoreRefusesAreToldApart(t *testing.T) {
	t.Parallel()
	for status, err := range map[int]error{
		http.StatusRequestEntityTooLarge: jmap.ErrBlobTooLarge,
		http.StatusInsufficientStorage:   jmap.ErrOverQuota,
		http.StatusInternalServerError:   errors.New("disk on fire"),
	} {
		r := start(t, func(o *Options) { o.Blobs = failingBlobs{err: err} })
		resp, body := r.do(t, http.MethodPost, "/jmap/upload/ada/", "x")
		if resp.StatusCode != status || bytes.Contains(body, []byte("fire")) {
			t.Errorf("%v: status %d, %s", err, resp.StatusCode, body)
		}
	}
}

type failingBlobs struct {
	jmap.Blobs

	err error
}

func (f failingBlobs) Put(context.Context, string, string, io.Reader) (string, int64, error) {
	return "", 0, f.err
}

func (f failingBlobs) Open(context.Context, string, string) (io.ReadSeekCloser, int64, error) {
	return nil, 0, f.err
}

func TestUploadThatEndsEarlyStoresNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/jmap/upload/ada/", reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	go func() {
		_, _ = writer.Write([]byte("half"))
		_ = writer.CloseWithError(errors.New("client lost"))
	}()
	resp, err := r.client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("status %d", resp.StatusCode)
	}
	eventually(t, "the request ends with 400", func() bool {
		return r.metric(t, "bailiwick_sync_http_requests_total", "upload", "400") == 1
	})
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if len(r.memory.blobs) != 0 {
		t.Errorf("%d blobs stored", len(r.memory.blobs))
	}
}

func TestConcurrentUploadsOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxConcurrentUpload = 1
	})
	reader, writer := io.Pipe()
	first := make(chan *http.Response, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPost, r.url+"/jmap/upload/ada/", reader)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer ada")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		first <- resp
	}()
	if _, err := writer.Write([]byte("begun")); err != nil {
		t.Fatal(err)
	}
	// Before the first has its place, a second could take it.
	eventually(t, "the first upload runs", func() bool {
		r.uploads.mu.Lock()
		defer r.uploads.mu.Unlock()
		return r.uploads.running["ada"] == 1
	})
	resp, body := r.do(t, http.MethodPost, "/jmap/upload/ada/", "x")
	wantProblem(t, resp, body, http.StatusTooManyRequests, jmap.ProblemLimit, "maxConcurrentUpload")
	_ = writer.Close()
	if resp := <-first; resp.StatusCode != http.StatusOK {
		t.Errorf("the first upload got %d", resp.StatusCode)
	}
}

func TestUploadNeedsAnAccountThatMayBeWritten(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, account := range []string{"bob", "shared", "a%20b"} {
		resp, body := r.do(t, http.MethodPost, "/jmap/upload/"+account+"/", "x")
		wantProblem(t, resp, body, http.StatusNotFound, "", "")
	}
	resp, body := r.do(t, http.MethodPost, "/jmap/upload/ada/", "x", "Content-Encoding", "gzip")
	wantProblem(t, resp, body, http.StatusUnsupportedMediaType, "", "")
}

func TestDownloadIsAnAttachmentOfTheAskedType(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.upload(t, "<script>").BlobID
	for path, want := range map[string][2]string{
		"/page.html?type=text/html":                     {"text/html", `attachment; filename="page.html"`},
		"/plain?type=Text%2FPlain%3B%20charset%3Dutf-8": {"text/plain; charset=utf-8", `attachment; filename="plain"`},
		"/a%2Fb%20c.txt?type=text/plain":                {"text/plain", `attachment; filename="a/b c.txt"`},
		"/gr%C3%BC%C3%9Fe.txt?type=text/plain":          {"text/plain", `attachment; filename*=utf-8''gr%C3%BC%C3%9Fe.txt`},
		"/x":                                            {"application/octet-stream", `attachment; filename="x"`},
		"/":                                             {"application/octet-stream", `attachment`},
	} {
		resp, body := r.do(t, http.MethodGet, "/jmap/download/ada/"+id+path, "")
		got := [2]string{resp.Header.Get("Content-Type"), resp.Header.Get("Content-Disposition")}
		if diff := cmp.Diff(want, got); diff != "" || resp.StatusCode != http.StatusOK || string(body) != "<script>" {
			t.Errorf("%s: status %d, body %q (-want +got):\n%s", path, resp.StatusCode, body, diff)
		}
		if resp.Header.Get("Cache-Control") != "private, immutable, max-age=31536000" {
			t.Errorf("Cache-Control %q", resp.Header.Get("Cache-Control"))
		}
	}
}

func TestDownloadAnswersRangesAndValidators(t *testing.T) {
	t.Parallel()
	r := start(t)
	path := "/jmap/download/ada/" + r.upload(t, "0123456789").BlobID + "/n?type=text/plain"
	resp, body := r.do(t, http.MethodGet, path, "", "Range", "bytes=2-4")
	if resp.StatusCode != http.StatusPartialContent || string(body) != "234" {
		t.Errorf("status %d, body %q", resp.StatusCode, body)
	}
	if resp, _ := r.do(t, http.MethodGet, path, "", "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != http.StatusNotModified {
		t.Errorf("status %d", resp.StatusCode)
	}
	if resp, body := r.do(t, http.MethodHead, path, ""); resp.StatusCode != http.StatusOK || resp.ContentLength != 10 || len(body) != 0 {
		t.Errorf("HEAD: status %d, length %d, body %q", resp.StatusCode, resp.ContentLength, body)
	}
}

func TestDownloadsThatCannotBeServedAreProblems(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.upload(t, "x").BlobID
	for path, status := range map[string]int{
		"/jmap/download/ada/Bmissing/n":               http.StatusNotFound,
		"/jmap/download/ada/not%20an%20id/n":          http.StatusNotFound,
		"/jmap/download/bob/" + id + "/n":             http.StatusNotFound,
		"/jmap/download/shared/" + id + "/n":          http.StatusNotFound,
		"/jmap/download/ada/" + id + "/n?type=a%20b":  http.StatusBadRequest,
		"/jmap/download/ada/" + id + "/n?type=%0d%0a": http.StatusBadRequest,
	} {
		resp, body := r.do(t, http.MethodGet, path, "")
		wantProblem(t, resp, body, status, "", "")
	}
	broken := start(t, func(o *Options) { o.Blobs = failingBlobs{err: errors.New("disk on fire")} })
	resp, body := broken.do(t, http.MethodGet, "/jmap/download/ada/B1/n", "")
	wantProblem(t, resp, body, http.StatusInternalServerError, "", "")
}
