package mail

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// emailParseArguments are the arguments of Email/parse.
type emailParseArguments struct {
	bodyArguments

	AccountID  string   `json:"accountId"`
	BlobIDs    []string `json:"blobIds"`
	Properties []string `json:"properties"`
}

// Validate checks the account and the number of blobs.
func (a *emailParseArguments) Validate(call *jmap.Call) error {
	if a.BlobIDs == nil {
		return errors.Join(call.CheckAccount(a.AccountID), jmap.InvalidArguments("blobIds: missing"))
	}
	get := jmap.GetArguments{AccountID: a.AccountID, IDs: a.BlobIDs}
	return get.Validate(call)
}

// emailParseResponse is the response of Email/parse.
type emailParseResponse struct {
	AccountID   string                    `json:"accountId"`
	Parsed      map[string]map[string]any `json:"parsed"`
	NotParsable []string                  `json:"notParsable"`
	NotFound    []string                  `json:"notFound"`
}

// emailParse answers Email/parse (RFC 8621 section 4.9). What begins as a message is read as far as it is one; all
// else is none.
func (s *Service) emailParse(ctx context.Context, call *jmap.Call, args *emailParseArguments) (*emailParseResponse, error) {
	sel, err := s.selection(call, args.Properties, defaultParsed, args.bodyArguments)
	if err != nil {
		return nil, err
	}
	out := &emailParseResponse{AccountID: args.AccountID}
	for _, id := range args.BlobIDs {
		ref, data, err := s.readBlob(ctx, call.Principal, args.AccountID, id)
		switch {
		case errors.Is(err, jmap.ErrBlobNotFound):
			out.NotFound = append(out.NotFound, id)
			continue
		case err != nil:
			return nil, err
		case !message.IsMessage(data) || int64(len(data)) > maxSizeMessage:
			out.NotParsable = append(out.NotParsable, id)
			continue
		}
		object, err := parsedObject(ref, data, sel)
		if err != nil {
			return nil, err
		}
		put(&out.Parsed, id, object)
		if err := sel.tooMuch(len(out.Parsed)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// parsedObject returns an Email of a message that is no email of the account.
func parsedObject(ref blobRef, data []byte, sel *selection) (map[string]any, error) {
	src := &source{ref: ref, open: func() (store.Object, error) { return memory{bytes.NewReader(data)}, nil }}
	out := map[string]any{}
	for _, name := range sel.properties {
		value, err := src.parsedProperty(name, int64(len(data)), sel)
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	err := src.addHeaders(out, sel)
	sel.octets += src.octets
	return out, err
}

func (s *source) parsedProperty(name string, size int64, sel *selection) (any, error) {
	switch name {
	case "id", "threadId", "mailboxIds", "keywords", "receivedAt":
		return nil, nil //nolint:nilnil // the property is null
	case "blobId":
		return s.ref.String(), nil
	case "size":
		return size, nil
	case label.Property:
		fields, err := s.header()
		return label.ID(sel.labels.Highest(label.Carried(fields.All(label.Header)))), err
	}
	if slices.Contains(rowProperties, name) {
		return s.rowProperty(name)
	}
	return s.property(name, sel)
}

// memory is a message at hand.
type memory struct{ *bytes.Reader }

// Close does nothing.
func (memory) Close() error { return nil }
