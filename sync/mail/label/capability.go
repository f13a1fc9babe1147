package label

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// CapabilityURI names sensitivity labels in requests and sessions. The properties of an Email that this package adds
// exist for requests that use it.
const CapabilityURI = "https://bailiwick.dev/jmap/labels"

// properties are those of a Label.
var properties = []string{
	"id", "name", "rank", "color", "tooltip", "marking", "mustEncrypt", "mustStayInside", "mustJustifyDowngrade",
	"minimumProtection", "forbidden",
}

// Capability returns labels for registration with the server.
func Capability(source Source) jmap.Capability {
	return jmap.Capability{
		URI:     CapabilityURI,
		Account: map[string]any{"maxSizeLabelJustification": maxJustification},
		Methods: map[string]jmap.Method{"Label/get": jmap.Handle(getter{source}.get)},
	}
}

type getter struct {
	source Source
}

// get answers Label/get: the labels of the tenant, the lowest rank first, with what a client must hold to.
func (g getter) get(_ context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	wanted := properties
	if args.Properties != nil {
		wanted = append([]string{"id"}, args.Properties...)
	}
	for _, name := range wanted {
		if !slices.Contains(properties, name) {
			return nil, jmap.InvalidArguments("properties: %q is not a property", name)
		}
	}
	set := g.source(call.Principal.Tenant)
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	raw, err := json.Marshal(set.All())
	if err != nil {
		return nil, fmt.Errorf("state of labels: %w", err)
	}
	sum := sha256.Sum256(raw)
	out.State = hex.EncodeToString(sum[:8])
	if args.IDs == nil {
		for _, l := range set.All() {
			out.List = append(out.List, object(&l, wanted))
		}
		return out, nil
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(args.IDs))) {
		if l := set.Find(id); l != nil {
			out.List = append(out.List, object(l, wanted))
		} else {
			out.NotFound = append(out.NotFound, id)
		}
	}
	return out, nil
}

// object is a Label with some of its properties. What is not set is null.
func object(l *tenantdoc.Label, wanted []string) map[string]any {
	all := map[string]any{
		"id": l.ID, "name": l.Name, "rank": l.Rank, "color": orNull(l.Color), "tooltip": orNull(l.Tooltip),
		"marking": map[string]any{
			"header": orNull(l.Marking.Header), "footer": orNull(l.Marking.Footer), "subjectPrefix": orNull(l.Marking.SubjectPrefix),
		},
		"mustEncrypt":          l.Protection.Encrypt,
		"mustStayInside":       l.Protection.StayInside,
		"mustJustifyDowngrade": l.Protection.JustifyDowngrade,
		"minimumProtection":    orNull(l.Mobile.MinimumProtection),
		"forbidden":            forbidden(l),
	}
	out := map[string]any{}
	for _, name := range wanted {
		out[name] = all[name]
	}
	return out
}

// forbidden are the actions that a client must not offer for labelled mail.
func forbidden(l *tenantdoc.Label) []string {
	actions := []string{}
	for _, a := range []struct {
		name string
		no   bool
	}{{"print", l.Mobile.NoPrint}, {"copy", l.Mobile.NoCopy}, {"screenshots", l.Mobile.NoScreenshots}} {
		if a.no {
			actions = append(actions, a.name)
		}
	}
	return actions
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
