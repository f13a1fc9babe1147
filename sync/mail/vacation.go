package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// VacationURI names vacation responses in requests and sessions (RFC 8621 section 1.3.3).
const VacationURI = "urn:ietf:params:jmap:vacationresponse"

// vacationID is the id of the one VacationResponse of an account.
const vacationID = "singleton"

// The limits of a vacation response.
const (
	maxVacationSubject = 1 << 10
	maxVacationBody    = 256 << 10
)

// vacation is the record of a VacationResponse (RFC 8621 section 8). An account that never set it has the zero
// value.
type vacation struct {
	IsEnabled bool    `json:"isEnabled"`
	FromDate  *string `json:"fromDate"`
	ToDate    *string `json:"toDate"`
	Subject   *string `json:"subject"`
	TextBody  *string `json:"textBody"`
	HTMLBody  *string `json:"htmlBody"`
}

// vacationObject is a vacation response as clients see it.
type vacationObject struct {
	vacation

	ID string `json:"id"`
}

var vacationProperties = []string{"id", "isEnabled", "fromDate", "toDate", "subject", "textBody", "htmlBody"}

// VacationCapability returns vacation responses for registration with the server.
func (s *Service) VacationCapability() jmap.Capability {
	return jmap.Capability{
		URI: VacationURI,
		Methods: map[string]jmap.Method{
			"VacationResponse/get": jmap.Handle(s.vacationGet),
			"VacationResponse/set": jmap.Handle(s.vacationSet),
		},
	}
}

func readVacation(ctx context.Context, r store.Reader, account string) (vacation, error) {
	var v vacation
	_, err := readJSON(ctx, r, keys(account).vacation(), &v)
	return v, err
}

// vacationGet answers VacationResponse/get (RFC 8621 section 8.1).
func (s *Service) vacationGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	if err := checkProperties(args.Properties, func(p string) bool { return slices.Contains(vacationProperties, p) }); err != nil {
		return nil, err
	}
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	ids, notFound := []string{vacationID}, []string(nil)
	if args.IDs != nil {
		ids, notFound = resolveIDs(call, args.IDs)
	}
	err := s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		if out.State, err = store.State(ctx, r, args.AccountID, typeVacation); err != nil {
			return err
		}
		v, err := readVacation(ctx, r, args.AccountID)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if id != vacationID {
				notFound = append(notFound, id)
				continue
			}
			object, err := pick(vacationObject{ID: id, vacation: v}, id, args.Properties, vacationProperties)
			if err != nil {
				return err
			}
			out.List = append(out.List, object)
		}
		return nil
	})
	out.NotFound = notFound
	return out, err
}

// vacationSet answers VacationResponse/set (RFC 8621 section 8.2). The one object can only be updated.
func (s *Service) vacationSet(ctx context.Context, call *jmap.Call, args *jmap.SetArguments) (*jmap.SetResponse, error) {
	out := newOutcome(args.AccountID)
	w := &setter{service: s, account: args.AccountID, kind: typeVacation, ifInState: args.IfInState}
	w.save = func() func() { return out.save(call) }
	singleton := &jmap.SetError{Type: jmap.SetErrorSingleton, Description: "there is exactly one, with the id " + vacationID}
	var ops []func(*edit) error
	for creation := range args.Create {
		ops = append(ops, func(*edit) error { return out.notCreated(creation, singleton) })
	}
	for _, reference := range slices.Sorted(maps.Keys(args.Update)) {
		ops = append(ops, func(e *edit) error {
			id, _ := call.ResolveID(reference)
			if id != vacationID {
				return out.notUpdated(reference, &jmap.SetError{Type: jmap.SetErrorNotFound})
			}
			if err := e.updateVacation(args.Update[reference]); err != nil {
				return out.notUpdated(reference, err)
			}
			return out.updated(id, nil)
		})
	}
	for _, id := range args.Destroy {
		ops = append(ops, func(*edit) error { return out.notDestroyed(id, singleton) })
	}
	if err := w.run(ctx, ops); err != nil {
		return nil, err
	}
	return out.response(w), nil
}

// updateVacation applies a patch, or returns a SetError.
func (e *edit) updateVacation(patch jmap.PatchObject) error {
	have, err := readVacation(e.ctx, e.tx, e.account)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(vacationObject{ID: vacationID, vacation: have})
	if err != nil {
		return fmt.Errorf("encode vacation response: %w", err)
	}
	next, refused := patch.Apply(raw)
	if refused != nil {
		return refused
	}
	var want vacationObject
	if refused := jmap.DecodeObject(next, &want); refused != nil {
		return refused
	}
	if want.ID != vacationID {
		return jmap.InvalidProperties("set by the server only", "id")
	}
	if refused := want.check(); refused != nil {
		return refused
	}
	e.tx.Changed(store.Change{Type: typeVacation, ID: vacationID, Kind: store.Updated})
	return e.setJSON(e.keys.vacation(), want.vacation)
}

// check returns what is wrong with a vacation response.
func (v *vacation) check() *jmap.SetError {
	var wrong []string
	var why string
	for property, date := range map[string]*string{"fromDate": v.FromDate, "toDate": v.ToDate} {
		if date == nil {
			continue
		}
		if _, err := parseUTC(*date); err != nil {
			wrong, why = append(wrong, property), property+": not a UTCDate such as 2026-11-23T18:25:00Z"
		}
	}
	for property, c := range map[string]struct {
		text *string
		most int
	}{"subject": {v.Subject, maxVacationSubject}, "textBody": {v.TextBody, maxVacationBody}, "htmlBody": {v.HTMLBody, maxVacationBody}} {
		if c.text != nil && len(*c.text) > c.most {
			wrong, why = append(wrong, property), fmt.Sprintf("%s: longer than %d octets", property, c.most)
		}
	}
	if wrong == nil {
		return nil
	}
	slices.Sort(wrong)
	return jmap.InvalidProperties(why, wrong...)
}

// active says whether messages that arrive at a time, in milliseconds since 1970, are replied to.
func (v *vacation) active(at int64) bool {
	if !v.IsEnabled {
		return false
	}
	if v.FromDate != nil {
		if from, err := parseUTC(*v.FromDate); err != nil || at < from {
			return false
		}
	}
	if v.ToDate != nil {
		if to, err := parseUTC(*v.ToDate); err != nil || at >= to {
			return false
		}
	}
	return true
}
