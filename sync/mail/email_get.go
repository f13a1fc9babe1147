package mail

import (
	"context"
	"errors"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// emailGetArguments are the arguments of Email/get.
type emailGetArguments struct {
	jmap.GetArguments
	bodyArguments
}

// emailGet answers Email/get (RFC 8621 section 4.2).
func (s *Service) emailGet(ctx context.Context, call *jmap.Call, args *emailGetArguments) (*jmap.GetResponse[map[string]any], error) {
	properties, smimeNames := cutSMIME(call, args.Properties)
	sel, err := s.selection(call, properties, defaultEmail, args.bodyArguments)
	if err != nil {
		return nil, err
	}
	if args.IDs == nil {
		return nil, allTooMany("Email")
	}
	tenant, err := s.tenantOf(ctx, args.AccountID)
	if err != nil {
		return nil, err
	}
	sel.signatures = s.newVerifier(args.AccountID, tenant)
	sel.signatures.names = smimeNames
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	err = s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		v, err := s.visitor(ctx, r, call.Principal, args.AccountID)
		if err != nil {
			return err
		}
		if out.State, err = v.state(ctx, r, args.AccountID, typeEmail); err != nil {
			return err
		}
		var ids []string
		ids, out.NotFound = resolveIDs(call, args.IDs)
		for _, id := range ids {
			m, err := s.readEmail(ctx, r, v, args.AccountID, id)
			if err != nil {
				return err
			}
			if m == nil {
				out.NotFound = append(out.NotFound, id)
				continue
			}
			object, err := s.emailObject(ctx, r, args.AccountID, tenant, m, sel)
			if err != nil {
				return err
			}
			out.List = append(out.List, object)
			if err := sel.tooMuch(len(out.List)); err != nil {
				return err
			}
		}
		return nil
	})
	return out, errors.Join(err, sel.signatures.keep(ctx))
}

// emailObject returns an Email with the properties that are asked for.
func (s *Service) emailObject(ctx context.Context, r store.Reader, account, tenant string, m *email, sel *selection) (map[string]any, error) {
	src, err := s.storedSource(ctx, r, account, tenant, m, sel)
	if err != nil {
		return nil, err
	}
	object, err := m.object(src, sel)
	sel.octets += src.octets
	if err == nil && sel.signatures != nil {
		err = sel.signatures.add(ctx, r, m, object)
	}
	return object, errors.Join(err, src.Close())
}

func (m *email) object(src *source, sel *selection) (map[string]any, error) {
	out := map[string]any{"id": m.ID}
	for _, name := range sel.properties {
		value, err := m.property(name, src, sel)
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, src.addHeaders(out, sel)
}

// addHeaders adds the header properties that are asked for.
func (s *source) addHeaders(out map[string]any, sel *selection) error {
	if len(sel.headers) == 0 {
		return nil
	}
	fields, err := s.header()
	for name, h := range sel.headers {
		out[name] = h.Of(fields)
	}
	return err
}

func (m *email) property(name string, src *source, sel *selection) (any, error) {
	switch name {
	case "id":
		return m.ID, nil
	case "blobId":
		return src.ref.String(), nil
	case "threadId":
		return m.Thread, nil
	case "mailboxIds":
		return set(m.Mailboxes), nil
	case "keywords":
		return set(m.Keywords), nil
	case "size":
		return m.Size, nil
	case "receivedAt":
		return utcDate(m.Received), nil
	case "hasAttachment":
		return m.Attachment, nil
	case label.Property:
		return label.ID(sel.labels.Effective(m.Carried, m.Label)), nil
	}
	if slices.Contains(rowProperties, name) {
		return src.rowProperty(name)
	}
	return src.property(name, sel)
}

// emailChanges answers Email/changes (RFC 8621 section 4.3).
func (s *Service) emailChanges(ctx context.Context, call *jmap.Call, args *jmap.ChangesArguments) (*jmap.ChangesResponse, error) {
	c, err := s.changesFor(ctx, call.Principal, typeEmail, args)
	if err != nil {
		return nil, err
	}
	return new(changesResponse(args.AccountID, c)), nil
}
