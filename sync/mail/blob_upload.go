package mail

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// blobUploadArguments are the arguments of Blob/upload.
type blobUploadArguments struct {
	AccountID string                     `json:"accountId"`
	Create    map[string]json.RawMessage `json:"create"`
}

// Validate checks the account and the number of blobs.
func (a *blobUploadArguments) Validate(call *jmap.Call) error {
	set := jmap.SetArguments{AccountID: a.AccountID, Create: a.Create}
	if err := set.Validate(call); err != nil {
		return err
	}
	if a.Create == nil {
		return jmap.InvalidArguments("create: missing")
	}
	return nil
}

// blobUploadResponse is the response of Blob/upload.
type blobUploadResponse struct {
	AccountID  string                    `json:"accountId"`
	Created    map[string]*uploadedBlob  `json:"created"`
	NotCreated map[string]*jmap.SetError `json:"notCreated"`
}

// uploadedBlob is what the answer tells of a blob that was made.
type uploadedBlob struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Size int64  `json:"size"`
}

// uploadObject is an UploadObject (RFC 9404 section 4.1).
type uploadObject struct {
	Data []dataSource `json:"data"`
	Type *string      `json:"type"`
}

// dataSource is a DataSourceObject (RFC 9404 section 4.1): text, base64, or a range of a blob.
type dataSource struct {
	Text   *string `json:"data:asText"`
	Base64 *string `json:"data:asBase64"`
	BlobID *string `json:"blobId"`
	Offset *int64  `json:"offset"`
	Length *int64  `json:"length"`
}

// check returns a SetError unless the object is exactly one kind of source.
func (d *dataSource) check() *jmap.SetError {
	given := 0
	for _, is := range []bool{d.Text != nil, d.Base64 != nil, d.BlobID != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return invalidData("give exactly one of data:asText, data:asBase64 and blobId")
	case d.BlobID == nil && (d.Offset != nil || d.Length != nil):
		return invalidData("offset and length go with a blobId")
	case !unsigned(d.Offset) || !unsigned(d.Length):
		return invalidData("offset and length are integers from 0 on")
	}
	return nil
}

// unsigned says whether an argument is absent or an UnsignedInt (RFC 8620 section 1.3).
func unsigned(n *int64) bool { return n == nil || (*n >= 0 && *n <= jmap.MaxInt) }

func invalidData(why string) *jmap.SetError { return jmap.InvalidProperties("data: "+why, "data") }

// blobUploader runs a Blob/upload call.
type blobUploader struct {
	service *Service
	call    *jmap.Call
	args    *blobUploadArguments
	out     *blobUploadResponse
	// begun are the creations that were begun, so that each is made once and none waits for itself.
	begun map[string]bool
	// octets is how large the blobs are that were made so far, together.
	octets int64
}

// maxUploads is how many octets of blobs one call makes at least before it makes no more: a few ranges of a blob are
// a short request for much content.
const maxUploads = 2 * maxSizeBlobSet

// blobUpload answers Blob/upload (RFC 9404 section 4.1). A creation may use others of the call, in any order.
func (s *Service) blobUpload(ctx context.Context, call *jmap.Call, args *blobUploadArguments) (*blobUploadResponse, error) {
	u := &blobUploader{service: s, call: call, args: args, out: &blobUploadResponse{AccountID: args.AccountID}, begun: map[string]bool{}}
	for _, creation := range slices.Sorted(maps.Keys(args.Create)) {
		if err := u.create(ctx, creation); err != nil {
			return nil, err
		}
	}
	return u.out, nil
}

// create makes a blob, unless that was done or begun.
func (u *blobUploader) create(ctx context.Context, creation string) error {
	raw, asked := u.args.Create[creation]
	if !asked || u.begun[creation] {
		return nil
	}
	u.begun[creation] = true
	blob, err := u.upload(ctx, raw)
	if errors.Is(err, jmap.ErrOverQuota) {
		err = &jmap.SetError{Type: jmap.SetErrorOverQuota}
	}
	if err != nil {
		return fail(&u.out.NotCreated, creation, err)
	}
	u.call.CreatedIDs[creation] = blob.ID
	put(&u.out.Created, creation, blob)
	return nil
}

// upload makes a blob of its sources, or returns a SetError. The blobs that it uses are made before it takes any
// memory for its content.
func (u *blobUploader) upload(ctx context.Context, raw json.RawMessage) (*uploadedBlob, error) {
	want, err := readUpload(raw)
	if err != nil {
		return nil, err
	}
	for i := range want.Data {
		if err := u.resolve(ctx, &want.Data[i]); err != nil {
			return nil, err
		}
	}
	if u.octets >= maxUploads {
		return nil, &jmap.SetError{Type: jmap.SetErrorRateLimit, Description: fmt.Sprintf("the call made blobs of %d octets already: make the others in another call", u.octets)}
	}
	var content bytes.Buffer
	for i := range want.Data {
		if err := u.add(ctx, &content, &want.Data[i]); err != nil {
			return nil, err
		}
	}
	u.octets += int64(content.Len())
	out := &uploadedBlob{Type: "application/octet-stream"}
	if want.Type != nil {
		out.Type = *want.Type
	}
	out.ID, out.Size, err = u.service.BlobsFor(u.call.Principal).Put(ctx, u.args.AccountID, out.Type, &content)
	return out, err
}

// readUpload reads and checks an UploadObject, or returns a SetError.
func readUpload(raw json.RawMessage) (*uploadObject, error) {
	want := &uploadObject{}
	if refused := jmap.DecodeObject(raw, want); refused != nil {
		return nil, refused
	}
	switch {
	case want.Data == nil:
		return nil, invalidData("missing")
	case len(want.Data) > maxDataSources:
		return nil, &jmap.SetError{Type: jmap.SetErrorTooLarge, Description: fmt.Sprintf("data: %d sources, the limit maxDataSources is %d", len(want.Data), maxDataSources)}
	}
	for i := range want.Data {
		if refused := want.Data[i].check(); refused != nil {
			return nil, refused
		}
	}
	return want, nil
}

// add adds the octets of one source, or returns a SetError.
func (u *blobUploader) add(ctx context.Context, content *bytes.Buffer, d *dataSource) error {
	switch {
	case d.Text != nil:
		return addOctets(content, []byte(*d.Text))
	case d.Base64 != nil:
		octets, err := base64.StdEncoding.Strict().DecodeString(*d.Base64)
		if err != nil || strings.ContainsAny(*d.Base64, "\r\n") {
			return invalidData("data:asBase64 is not base64 with padding and without line breaks")
		}
		return addOctets(content, octets)
	default:
		return u.addRange(ctx, content, d)
	}
}

func addOctets(content *bytes.Buffer, octets []byte) error {
	if refused := fits(content, int64(len(octets))); refused != nil {
		return refused
	}
	content.Write(octets)
	return nil
}

// fits returns a SetError when a blob would become larger than it may be.
func fits(content *bytes.Buffer, more int64) *jmap.SetError {
	if more <= maxSizeBlobSet-int64(content.Len()) {
		return nil
	}
	return &jmap.SetError{Type: jmap.SetErrorTooLarge, Description: fmt.Sprintf("the blob would have more than %d octets, the limit maxSizeBlobSet", int64(maxSizeBlobSet))}
}

// addRange adds a range of a blob. One that is not there as a whole is an error.
func (u *blobUploader) addRange(ctx context.Context, content *bytes.Buffer, d *dataSource) error {
	id, _ := u.call.ResolveID(*d.BlobID)
	blob, size, err := u.service.BlobsFor(u.call.Principal).Open(ctx, u.args.AccountID, id)
	if errors.Is(err, jmap.ErrBlobNotFound) {
		return &jmap.SetError{Type: "blobNotFound", Description: fmt.Sprintf("data: there is no blob %q", *d.BlobID), Fields: map[string]any{"notFound": []string{*d.BlobID}}}
	}
	if err != nil {
		return err
	}
	return errors.Join(copyRange(content, blob, size, d), blob.Close())
}

func copyRange(content *bytes.Buffer, blob io.ReadSeeker, size int64, d *dataSource) error {
	var offset int64
	if d.Offset != nil {
		offset = *d.Offset
	}
	length := size - offset
	if d.Length != nil {
		length = *d.Length
	}
	if offset > size || length > size-offset {
		return invalidData(fmt.Sprintf("the range goes beyond the %d octets of blob %q", size, *d.BlobID))
	}
	if refused := fits(content, length); refused != nil {
		return refused
	}
	if _, err := blob.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("read blob: %w", err)
	}
	if _, err := io.CopyN(content, blob, length); err != nil {
		return fmt.Errorf("read blob: %w", err)
	}
	return nil
}

// resolve makes the blob that a source refers to, when that is another creation of the call.
func (u *blobUploader) resolve(ctx context.Context, d *dataSource) error {
	if d.BlobID == nil {
		return nil
	}
	creation, isReference := strings.CutPrefix(*d.BlobID, "#")
	if !isReference {
		return nil
	}
	return u.create(ctx, creation)
}
