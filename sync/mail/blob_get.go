package mail

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // a digest that clients ask for by its name, which protects nothing
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// The properties of a blob (RFC 9404 section 4.2); digests are "digest:" and the name of an algorithm.
const (
	propertySize   = "size"
	propertyData   = "data"
	propertyText   = "data:asText"
	propertyBase64 = "data:asBase64"
	digestPrefix   = "digest:"
)

// digests are the algorithms by their names in the registry of HTTP digests, in lower case.
var digests = map[string]func() hash.Hash{"sha": sha1.New, "sha-256": sha256.New, "sha-512": sha512.New}

// digestNames lists them, the best first.
var digestNames = []string{"sha-256", "sha-512", "sha"}

// blobGetArguments are the arguments of Blob/get.
type blobGetArguments struct {
	AccountID  string   `json:"accountId"`
	IDs        []string `json:"ids"`
	Properties []string `json:"properties"`
	Offset     *int64   `json:"offset"`
	Length     *int64   `json:"length"`
}

// Validate checks the account, the number of blobs, the properties and the range.
func (a *blobGetArguments) Validate(call *jmap.Call) error {
	get := jmap.GetArguments{AccountID: a.AccountID, IDs: a.IDs}
	if err := get.Validate(call); err != nil {
		return err
	}
	switch {
	case a.IDs == nil:
		return jmap.InvalidArguments("ids: missing")
	case !unsigned(a.Offset):
		return jmap.InvalidArguments("offset: %d is not an UnsignedInt", *a.Offset)
	case !unsigned(a.Length):
		return jmap.InvalidArguments("length: %d is not an UnsignedInt", *a.Length)
	}
	return checkProperties(a.Properties, blobProperty)
}

func blobProperty(name string) bool {
	algorithm, digest := strings.CutPrefix(name, digestPrefix)
	if digest {
		return digests[algorithm] != nil
	}
	return slices.Contains([]string{"id", propertySize, propertyData, propertyText, propertyBase64}, name)
}

// wants says whether the octets are asked for, in one form or another.
func (a *blobGetArguments) wants(properties ...string) bool {
	return slices.ContainsFunc(a.Properties, func(p string) bool { return slices.Contains(properties, p) })
}

// blobGetResponse is the response of Blob/get. There is no state, because blobs do not change.
type blobGetResponse struct {
	AccountID string                    `json:"accountId"`
	List      jmap.List[map[string]any] `json:"list"`
	NotFound  jmap.List[string]         `json:"notFound"`
}

// blobGet answers Blob/get (RFC 9404 section 4.2).
func (s *Service) blobGet(ctx context.Context, call *jmap.Call, args *blobGetArguments) (*blobGetResponse, error) {
	if args.Properties == nil {
		args.Properties = []string{propertyData, propertySize}
	}
	out := &blobGetResponse{AccountID: args.AccountID}
	ids, unknown := resolveIDs(call, args.IDs)
	out.NotFound = unknown
	var octets int64
	for _, id := range ids {
		blob, size, err := s.BlobsFor(call.Principal).Open(ctx, args.AccountID, id)
		if errors.Is(err, jmap.ErrBlobNotFound) {
			out.NotFound = append(out.NotFound, id)
			continue
		}
		if err != nil {
			return nil, err
		}
		object, n, err := args.object(blob, size)
		if err = errors.Join(err, blob.Close()); err != nil {
			return nil, err
		}
		object["id"] = id
		out.List = append(out.List, object)
		if octets += n; octets > maxContent && len(out.List) > 1 {
			return nil, &jmap.MethodError{Type: jmap.ErrorRequestTooLarge, Description: fmt.Sprintf("the answer would need more than %d octets of blobs: ask for fewer at a time, or for ranges", int64(maxContent))}
		}
	}
	return out, nil
}

// object returns the properties of one blob, and how many octets of it were read for them.
func (a *blobGetArguments) object(blob io.ReadSeeker, size int64) (map[string]any, int64, error) {
	out := map[string]any{}
	if a.wants(propertySize) {
		out[propertySize] = size
	}
	from, length, truncated := a.span(size)
	if truncated {
		out["isTruncated"] = true
	}
	if _, err := blob.Seek(from, io.SeekStart); err != nil {
		return nil, 0, fmt.Errorf("read blob: %w", err)
	}
	var content bytes.Buffer
	sums, to := a.digests()
	if a.wants(propertyData, propertyText, propertyBase64) {
		to = append(to, &content)
	}
	if len(to) == 0 {
		return out, 0, nil
	}
	if _, err := io.CopyN(io.MultiWriter(to...), blob, length); err != nil {
		return nil, 0, fmt.Errorf("read blob: %w", err)
	}
	for name, sum := range sums {
		out[name] = base64.StdEncoding.EncodeToString(sum.Sum(nil))
	}
	a.addData(out, content.Bytes())
	return out, length, nil
}

// digests returns a hash for each digest that is asked for, by property, and all of them to write to.
func (a *blobGetArguments) digests() (sums map[string]hash.Hash, to []io.Writer) {
	sums = map[string]hash.Hash{}
	for _, name := range a.Properties {
		if algorithm, is := strings.CutPrefix(name, digestPrefix); is && sums[name] == nil {
			sums[name] = digests[algorithm]()
			to = append(to, sums[name])
		}
	}
	return sums, to
}

// span returns the part of a blob that is asked for, and whether more was asked for than there is.
func (a *blobGetArguments) span(size int64) (from, length int64, truncated bool) {
	if a.Offset != nil {
		from = *a.Offset
	}
	truncated = from > size
	from = min(from, size)
	if length = size - from; a.Length != nil {
		truncated = truncated || *a.Length > length
		length = min(*a.Length, length)
	}
	return from, length, truncated
}

// addData adds the octets as text, as base64, or as text if they are UTF-8 and else as base64.
func (a *blobGetArguments) addData(out map[string]any, content []byte) {
	text := utf8.Valid(content)
	if a.wants(propertyText, propertyData) && !text {
		out["isEncodingProblem"] = true
	}
	if a.wants(propertyText) {
		out[propertyText] = nil
	}
	if text && a.wants(propertyText, propertyData) {
		out[propertyText] = string(content)
	}
	if a.wants(propertyBase64) || (!text && a.wants(propertyData)) {
		out[propertyBase64] = base64.StdEncoding.EncodeToString(content)
	}
}
