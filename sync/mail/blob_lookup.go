package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// BlobCapabilityURI names JMAP Blob Management in requests and sessions (RFC 9404 section 3).
const BlobCapabilityURI = "urn:ietf:params:jmap:blob"

// The limits of Blob/upload, as the capability tells them.
const (
	maxSizeBlobSet = maxSizeMessage
	maxDataSources = 1024
)

// errorUnknownDataType refuses a type that Blob/lookup cannot look blobs up in (RFC 9404 section 4.3).
const errorUnknownDataType = "unknownDataType"

// lookupTypes are the types that Blob/lookup knows.
var lookupTypes = []string{typeEmail, typeMailbox, typeThread}

// BlobCapability returns JMAP Blob Management (RFC 9404) for registration with the server.
func (s *Service) BlobCapability() jmap.Capability {
	return jmap.Capability{
		URI:     BlobCapabilityURI,
		Partial: true,
		Account: map[string]any{
			"maxSizeBlobSet":            maxSizeBlobSet,
			"maxDataSources":            maxDataSources,
			"supportedTypeNames":        lookupTypes,
			"supportedDigestAlgorithms": digestNames,
		},
		Methods: map[string]jmap.Method{
			"Blob/upload": jmap.Handle(s.blobUpload),
			"Blob/get":    jmap.Handle(s.blobGet),
			"Blob/lookup": jmap.Handle(s.blobLookup),
		},
	}
}

// blobLookupArguments are the arguments of Blob/lookup.
type blobLookupArguments struct {
	AccountID string   `json:"accountId"`
	TypeNames []string `json:"typeNames"`
	IDs       []string `json:"ids"`
}

// Validate checks the account, the number of blobs and the types, which belong to JMAP Mail.
func (a *blobLookupArguments) Validate(call *jmap.Call) error {
	get := jmap.GetArguments{AccountID: a.AccountID, IDs: a.IDs}
	if err := get.Validate(call); err != nil {
		return err
	}
	switch {
	case a.IDs == nil:
		return jmap.InvalidArguments("ids: missing")
	case a.TypeNames == nil:
		return jmap.InvalidArguments("typeNames: missing")
	}
	for _, name := range a.TypeNames {
		if !slices.Contains(lookupTypes, name) || !call.Using[CapabilityURI] {
			return &jmap.MethodError{Type: errorUnknownDataType, Description: fmt.Sprintf("typeNames: %q is not one of %q, or the request does not use %q", name, lookupTypes, CapabilityURI)}
		}
	}
	return nil
}

// blobLookupResponse is the response of Blob/lookup.
type blobLookupResponse struct {
	AccountID string               `json:"accountId"`
	List      jmap.List[*blobInfo] `json:"list"`
	NotFound  jmap.List[string]    `json:"notFound"`
}

// blobInfo is a BlobInfo (RFC 9404 section 4.3): the records that refer to a blob, by type.
type blobInfo struct {
	ID         string                       `json:"id"`
	MatchedIDs map[string]jmap.List[string] `json:"matchedIds"`
}

func newBlobInfo(id string, types []string) *blobInfo {
	out := &blobInfo{ID: id, MatchedIDs: map[string]jmap.List[string]{}}
	for _, name := range types {
		out.MatchedIDs[name] = nil
	}
	return out
}

// add adds an email that the blob is in, its thread and its mailboxes, as far as those types are asked for.
func (b *blobInfo) add(m *email) {
	for name, ids := range map[string][]string{typeEmail: {m.ID}, typeThread: {m.Thread}, typeMailbox: m.Mailboxes} {
		matched, asked := b.MatchedIDs[name]
		for _, id := range ids {
			if asked && !slices.Contains(matched, id) {
				matched = append(matched, id)
			}
		}
		if asked {
			b.MatchedIDs[name] = matched
		}
	}
}

// blobLookup answers Blob/lookup (RFC 9404 section 4.3). A blob is in an email when it is the message or,
// as its EmailBodyPart names it, lies in the message. A blob in no email is found, with no record.
func (s *Service) blobLookup(ctx context.Context, call *jmap.Call, args *blobLookupArguments) (*blobLookupResponse, error) {
	out := &blobLookupResponse{AccountID: args.AccountID}
	ids, unknown := resolveIDs(call, args.IDs)
	out.NotFound = unknown
	byHash := map[string][]*blobInfo{}
	for _, id := range ids {
		ref, readable, err := s.mayRead(ctx, call.Principal, args.AccountID, id)
		if err != nil {
			return nil, err
		}
		if !readable {
			out.NotFound = append(out.NotFound, id)
			continue
		}
		info := newBlobInfo(id, args.TypeNames)
		out.List = append(out.List, info)
		byHash[ref.hash] = append(byHash[ref.hash], info)
	}
	if len(byHash) == 0 || len(args.TypeNames) == 0 {
		return out, nil
	}
	return out, s.view(ctx, args.AccountID, func(r store.Reader) error {
		v, err := s.visitor(ctx, r, call.Principal, args.AccountID)
		if err != nil {
			return err
		}
		return eachEmail(ctx, r, args.AccountID, func(m *email) {
			seen := v.email(m)
			for _, info := range byHash[m.Blob] {
				if seen != nil {
					info.add(seen)
				}
			}
		})
	})
}

// eachEmail calls fn for each email of an account.
func eachEmail(ctx context.Context, r store.Reader, account string, fn func(*email)) error {
	index := keys(account).emails()
	for p, err := range r.Scan(ctx, index.Range(), store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("list emails: %w", err)
		}
		m := &email{}
		if m.ID, _, err = store.CutString(p.Key[len(index):]); err != nil {
			return fmt.Errorf("list emails: %w", err)
		}
		if err := json.Unmarshal(p.Value, m); err != nil {
			return fmt.Errorf("email %q: %w", m.ID, err)
		}
		fn(m)
	}
	return nil
}
