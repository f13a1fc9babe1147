package jmap

import (
	"context"
	"errors"
)

func coreCapability(limits *Limits, blobs func(*Principal) Blobs) Capability {
	return Capability{
		URI:     CoreCapability,
		Session: limits,
		Partial: true,
		Methods: map[string]Method{
			"Core/echo": echo,
			"Blob/copy": Handle(blobCopier{blobs: blobs}.copy),
		},
	}
}

// echo returns its arguments (RFC 8620 §4).
func echo(_ context.Context, call *Call) (any, error) {
	return call.Args, nil
}

// BlobCopyArguments are the arguments of Blob/copy (RFC 8620 §6.3).
type BlobCopyArguments struct {
	FromAccountID string   `json:"fromAccountId"`
	AccountID     string   `json:"accountId"`
	BlobIDs       []string `json:"blobIds"`
}

// Validate checks both accounts, which must differ, the ids and maxObjectsInSet.
func (a *BlobCopyArguments) Validate(call *Call) error {
	if err := checkAccountPair(call, a.FromAccountID, a.AccountID); err != nil {
		return err
	}
	if a.BlobIDs == nil {
		return InvalidArguments("blobIds: missing")
	}
	if int64(len(a.BlobIDs)) > call.Limits.MaxObjectsInSet {
		return tooLarge("maxObjectsInSet", call.Limits.MaxObjectsInSet)
	}
	for i, id := range a.BlobIDs {
		if !ValidID(id) {
			return InvalidArguments("blobIds[%d]: not an Id", i)
		}
	}
	return nil
}

// BlobCopyResponse is the response of Blob/copy (RFC 8620 §6.3).
type BlobCopyResponse struct {
	FromAccountID string               `json:"fromAccountId"`
	AccountID     string               `json:"accountId"`
	Copied        map[string]string    `json:"copied"`
	NotCopied     map[string]*SetError `json:"notCopied"`
}

type blobCopier struct {
	blobs func(*Principal) Blobs
}

func (c blobCopier) copy(ctx context.Context, call *Call, args *BlobCopyArguments) (*BlobCopyResponse, error) {
	response := &BlobCopyResponse{FromAccountID: args.FromAccountID, AccountID: args.AccountID}
	for _, id := range args.BlobIDs {
		copied, err := c.blobs(call.Principal).Copy(ctx, args.FromAccountID, args.AccountID, id)
		if err == nil {
			setIn(&response.Copied, id, copied)
			continue
		}
		refused := blobSetError(err)
		if refused == nil {
			return nil, err
		}
		setIn(&response.NotCopied, id, refused)
	}
	return response, nil
}

// blobSetError tells how an error of Blobs fails one record, or nil when it fails
// the method.
func blobSetError(err error) *SetError {
	switch {
	case errors.Is(err, ErrBlobNotFound):
		return &SetError{Type: SetErrorBlobNotFound}
	case errors.Is(err, ErrBlobTooLarge):
		return &SetError{Type: SetErrorTooLarge}
	case errors.Is(err, ErrOverQuota):
		return &SetError{Type: SetErrorOverQuota}
	default:
		return nil
	}
}

func setIn[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}
