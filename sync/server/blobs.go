package server

import (
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

const octetStream = "application/octet-stream"

// uploaded is the answer to an upload (RFC 8620 §6.1).
type uploaded struct {
	AccountID string `json:"accountId"`
	BlobID    string `json:"blobId"`
	Type      string `json:"type"`
	Size      int64  `json:"size"`
}

// serveUpload stores a blob (RFC 8620 §6.1).
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	p, ok := s.admit(w, r)
	if !ok {
		return
	}
	account := r.PathValue("account")
	if !p.CanWrite(account) {
		sendProblem(w, r, jmap.NewProblem(http.StatusNotFound, "accountId: not an account that may be written, see accounts in the session object"))
		return
	}
	if problem := checkIdentity(r.Header); problem != nil {
		sendProblem(w, r, problem)
		return
	}
	if over := s.checkUploads(p); over != nil {
		s.sendLimit(w, r, p, over)
		return
	}
	release, ok := s.uploads.acquire(p.AccountID)
	if !ok {
		s.sendLimit(w, r, p, &overLimit{limitUploads, time.Second, fmt.Sprintf("%d uploads of this account run already: wait for one to finish", s.options.Limits.MaxConcurrentUpload)})
		return
	}
	defer release()
	if most := s.options.Limits.MaxSizeUpload; r.ContentLength > most {
		drain(w, r, most)
		sendProblem(w, r, uploadTooLarge(most))
		return
	}
	s.keep(w, r, p, account)
}

// keep stores an upload, in a slot whenever the upload waits for the server and not for
// the client.
func (s *Server) keep(w http.ResponseWriter, r *http.Request, p *jmap.Principal, account string) {
	body, over := s.newSharedBody(w, r, p)
	if over != nil {
		s.sendLimit(w, r, p, over)
		return
	}
	defer body.release()
	contentType := uploadType(r.Header.Get("Content-Type"))
	id, size, err := s.blobsFor(p).Put(r.Context(), account, contentType, body)
	body.release()
	if err != nil {
		s.refuseUpload(w, r, body.err, err)
		return
	}
	sendJSON(w, r, uploaded{AccountID: account, BlobID: id, Type: contentType, Size: size})
}

// refuseUpload tells apart whose fault a failed upload is: the client's, by an error
// of the body, or the store's.
func (s *Server) refuseUpload(w http.ResponseWriter, r *http.Request, ofBody, err error) {
	_, overLimit := errors.AsType[*http.MaxBytesError](ofBody)
	switch {
	case overLimit, errors.Is(err, jmap.ErrBlobTooLarge):
		drain(w, r, s.options.Limits.MaxSizeUpload)
		sendProblem(w, r, uploadTooLarge(s.options.Limits.MaxSizeUpload))
	case errors.Is(err, jmap.ErrOverQuota):
		sendProblem(w, r, jmap.NewProblem(http.StatusInsufficientStorage, "the account is over its quota: delete mail to make room"))
	case ofBody != nil:
		sendProblem(w, r, jmap.NewProblem(http.StatusBadRequest, "the request body could not be read to its end"))
	case jmap.Unavailable(err):
		s.unavailable(w, r, "upload failed", err)
	default:
		s.logger.ErrorContext(r.Context(), "upload failed", slog.Any("error", err))
		sendProblem(w, r, jmap.NewProblem(http.StatusInternalServerError, "the blob could not be stored"))
	}
}

func uploadTooLarge(most int64) *jmap.Problem {
	return jmap.NewLimitProblem(http.StatusRequestEntityTooLarge, "maxSizeUpload", fmt.Sprintf("the upload has more than %d octets", most))
}

// uploadType is the media type of an upload: what the client says, normalised and
// never sniffed.
func uploadType(header string) string {
	mediaType, params, err := mime.ParseMediaType(header)
	if err != nil {
		return octetStream
	}
	if formatted := mime.FormatMediaType(mediaType, params); formatted != "" {
		return formatted
	}
	return octetStream
}

// serveDownload sends a blob (RFC 8620 §6.2). What a blob holds came from anywhere,
// so a browser must neither show nor run it: it is an attachment in a sandbox.
func (s *Server) serveDownload(w http.ResponseWriter, r *http.Request) {
	p, ok := s.admit(w, r)
	if !ok {
		return
	}
	account, id, name := r.PathValue("account"), r.PathValue("blob"), r.PathValue("name")
	if !p.CanRead(account) || !jmap.ValidID(id) {
		sendProblem(w, r, noSuchBlob())
		return
	}
	contentType, err := downloadType(r.URL.Query().Get("type"))
	if err != nil {
		sendProblem(w, r, jmap.NewProblem(http.StatusBadRequest, "type: not a media type"))
		return
	}
	release, ok := s.load.downloads.acquire(p.AccountID)
	if !ok {
		s.sendLimit(w, r, p, &overLimit{limitDownloads, time.Second, fmt.Sprintf("%d downloads of this account run already: wait for one to finish", s.options.Load.Downloads)})
		return
	}
	defer release()
	s.sendBlob(w, r, p, account, id, contentType, name)
}

// sendBlob sends a blob as fast as the client takes it, and without a slot.
func (s *Server) sendBlob(w http.ResponseWriter, r *http.Request, p *jmap.Principal, account, id, contentType, name string) {
	blob, _, err := s.blobsFor(p).Open(r.Context(), account, id)
	if err != nil {
		s.refuseDownload(w, r, err)
		return
	}
	defer func() { _ = blob.Close() }()
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", attachment(name))
	h.Set("Cache-Control", "private, immutable, max-age=31536000")
	h.Set("ETag", `"`+id+`"`)
	http.ServeContent(w, r, "", time.Time{}, blob)
}

func (s *Server) refuseDownload(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, jmap.ErrBlobNotFound) {
		sendProblem(w, r, noSuchBlob())
		return
	}
	if jmap.Unavailable(err) {
		s.unavailable(w, r, "download failed", err)
		return
	}
	s.logger.ErrorContext(r.Context(), "download failed", slog.Any("error", err))
	sendProblem(w, r, jmap.NewProblem(http.StatusInternalServerError, "the blob could not be read"))
}

func noSuchBlob() *jmap.Problem {
	return jmap.NewProblem(http.StatusNotFound, "no such blob in this account")
}

func downloadType(wanted string) (string, error) {
	if wanted == "" {
		return octetStream, nil
	}
	mediaType, params, err := mime.ParseMediaType(wanted)
	if err != nil {
		return "", fmt.Errorf("parse media type: %w", err)
	}
	formatted := mime.FormatMediaType(mediaType, params)
	if formatted == "" {
		return "", errors.New("not a media type")
	}
	return formatted, nil
}

// attachment is the disposition of a download. A plain name is quoted even where it need not be: some clients look for
// the quotes.
func attachment(name string) string {
	if name == "" {
		return "attachment"
	}
	if isPlain(name) {
		return `attachment; filename="` + name + `"`
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}

// isPlain tells whether a name is printable ASCII that needs no escape between quotes.
func isPlain(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' })
}
