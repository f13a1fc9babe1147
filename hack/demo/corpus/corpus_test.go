package corpus_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/smallstep/pkcs7"

	"github.com/bailiwick-dev/bailiwick/hack/demo/corpus"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mbox"
)

var (
	owner  = corpus.Person{Name: "Ada Martin", Address: "ada@contoso.example"}
	others = []corpus.Person{
		{Name: "Ben Okafor", Address: "ben@contoso.example"},
		{Name: "Chloé Lefèvre", Address: "chloe@contoso.example"},
		{Name: "Dan Ito", Address: "dan@example.org"},
	}
)

func generate(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := corpus.Generate(&file, owner, others); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func messages(t *testing.T) []mbox.Message {
	t.Helper()
	var all []mbox.Message
	reader := mbox.NewReader(bytes.NewReader(generate(t)), 1<<20)
	for {
		message, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, message)
	}
}

func TestSameOwnerGetsTheSameBytesEverywhere(t *testing.T) {
	t.Parallel()
	const golden = "7d7f86a5d598a117a42cafadad8e07f33fed02baeb460c2917809e1a640d763a"
	sum := sha256.Sum256(generate(t))
	if got := hex.EncodeToString(sum[:]); got != golden {
		t.Errorf("the corpus changed: sha256 %s, want %s", got, golden)
	}
}

func TestEveryKindOfMessageIsThere(t *testing.T) {
	t.Parallel()
	kinds := map[string]bool{}
	subjects := map[string]bool{}
	decoder := &mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}
	for _, message := range messages(t) {
		if bytes.Contains(bytes.ReplaceAll(message.Raw, []byte("\r\n"), nil), []byte("\n")) {
			t.Errorf("a message of %q has a bare LF", message.Sender)
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(message.Raw))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := decoder.DecodeHeader(parsed.Header.Get("Subject"))
		if err != nil {
			t.Errorf("subject %q: %v", parsed.Header.Get("Subject"), err)
		}
		subjects[subject] = true
		if date, err := parsed.Header.Date(); err != nil || !date.Equal(message.Received) {
			t.Errorf("%q: date %v, received %v, %v", subject, date, message.Received, err)
		}
		walk(t, parsed.Header.Get("Content-Type"), parsed.Body, kinds)
	}
	for _, want := range []string{
		"text/plain", "text/html", "text/calendar", "multipart/alternative", "multipart/mixed", "multipart/related",
		"multipart/signed", "multipart/report", "message/rfc822", "message/delivery-status", "application/pdf",
		"application/zip", "application/ics", "application/pkcs7-signature", "image/png",
	} {
		if !kinds[want] {
			t.Errorf("no part of type %s", want)
		}
	}
	for _, want := range []string{"(no text)", "Grüße aus Köln — καλημέρα", "À la une aujourd’hui", "Your mailbox is ready"} {
		if !subjects[want] {
			t.Errorf("no message with subject %q", want)
		}
	}
}

// walk notes the type of a part and of all parts in it.
func walk(t *testing.T, contentType string, body io.Reader, kinds map[string]bool) {
	t.Helper()
	if contentType == "" {
		return
	}
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Errorf("content type %q: %v", contentType, err)
		return
	}
	kinds[kind] = true
	if !strings.HasPrefix(kind, "multipart/") {
		return
	}
	for parts := multipart.NewReader(body, parameters["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			return
		}
		walk(t, part.Header.Get("Content-Type"), part, kinds)
	}
}

func TestThreadIsJoinedByReferences(t *testing.T) {
	t.Parallel()
	var ids []string
	var last string
	for _, message := range messages(t) {
		parsed, err := mail.ReadMessage(bytes.NewReader(message.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(parsed.Header.Get("Subject"), "Budget") {
			last = parsed.Header.Get("References")
			ids = append(ids, parsed.Header.Get("Message-ID"))
		}
	}
	if len(ids) != 3 {
		t.Fatalf("%d messages in the thread, want 3", len(ids))
	}
	if diff := cmp.Diff(ids[:2], strings.Fields(last)); diff != "" {
		t.Error(diff)
	}
}

func TestSignatureVerifiesUntilTheTextChanges(t *testing.T) {
	t.Parallel()
	for _, message := range messages(t) {
		_, rest, found := bytes.Cut(message.Raw, []byte("multipart/signed"))
		if !found {
			continue
		}
		_, after, _ := bytes.Cut(rest, []byte(`boundary="`))
		name, body, _ := bytes.Cut(after, []byte(`"`))
		pieces := bytes.Split(body, append([]byte("--"), name...))
		content := bytes.TrimSuffix(bytes.TrimPrefix(pieces[1], []byte("\r\n")), []byte("\r\n"))
		reader := multipart.NewReader(bytes.NewReader(body), string(name))
		if _, err := reader.NextRawPart(); err != nil {
			t.Fatal(err)
		}
		signature, err := reader.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		checkSignature(t, content, signature)
		return
	}
	t.Error("no signed message")
}

func checkSignature(t *testing.T, content []byte, signature io.Reader) {
	t.Helper()
	der, err := decodeBase64(signature)
	if err != nil {
		t.Fatal(err)
	}
	cms, err := pkcs7.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cms.Certificates[0])
	if got := cms.Certificates[0].EmailAddresses; len(got) != 1 {
		t.Errorf("certificate names %v", got)
	}
	cms.Content = content
	if err := cms.Verify(); err != nil {
		t.Errorf("signature: %v", err)
	}
	cms.Content = append(bytes.Clone(content), '!')
	if err := cms.Verify(); err == nil {
		t.Error("the signature verifies a changed text")
	}
}

func TestGenerateNeedsCorrespondents(t *testing.T) {
	t.Parallel()
	if err := corpus.Generate(io.Discard, owner, others[:1]); err == nil || !strings.Contains(err.Error(), "two correspondents") {
		t.Errorf("got %v", err)
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestGenerateReportsAFailedWrite(t *testing.T) {
	t.Parallel()
	if err := corpus.Generate(brokenDisk{}, owner, others); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}
