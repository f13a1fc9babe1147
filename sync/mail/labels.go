package mail

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// noAudit discards what has to be accounted for.
type noAudit struct{}

// Downgraded implements label.Audit.
func (noAudit) Downgraded(context.Context, label.Downgrade) {}

// withLabels fills in the options about sensitivity labels.
func withLabels(o *Options) {
	if o.Labels == nil {
		o.Labels = func(string) *label.Set { return nil }
	}
	if o.Audit == nil {
		o.Audit = noAudit{}
	}
}

// LabelCapability returns sensitivity labels for registration with the server.
func (s *Service) LabelCapability() jmap.Capability { return label.Capability(s.opts.Labels) }

// selection checks the properties of a call. Those of labels exist for a request that uses their capability (RFC 8620
// section 3.3).
func (s *Service) selection(call *jmap.Call, properties, defaults []string, body bodyArguments) (*selection, error) {
	if slices.Contains(properties, label.Property) && !call.Using[label.CapabilityURI] {
		return nil, jmap.InvalidArguments("properties: %q is not a property without %q in using", label.Property, label.CapabilityURI)
	}
	sel, err := newSelection(properties, defaults, body)
	if err != nil {
		return nil, err
	}
	sel.labels = s.opts.Labels(call.Principal.Tenant)
	return sel, nil
}

// labelled reads the label of a draft. The field that carries it is the server's to write.
func (m *emailSetter) labelled(d *draft) {
	labels := m.service.opts.Labels(d.edit.tenant)
	if labels != nil {
		for name := range d.members {
			if h, err := message.ParseHeaderProperty(name); err == nil && strings.EqualFold(h.Name, label.Header) {
				d.invalid(name, "set "+label.Property+" in its place")
			}
		}
	}
	raw, given := d.members[label.Property]
	if !given {
		return
	}
	found, refused := m.findLabel(labels, raw)
	if refused != nil {
		d.wrong = append(d.wrong, refused.Properties...)
		d.why = append(d.why, refused.Description)
	}
	d.label = found
}

// findLabel reads the value of the property; null is no label.
func (m *emailSetter) findLabel(labels *label.Set, raw json.RawMessage) (*tenantdoc.Label, *jmap.SetError) {
	if !m.call.Using[label.CapabilityURI] {
		return nil, jmap.InvalidProperties(label.Property+": no such property without "+label.CapabilityURI+" in using", label.Property)
	}
	var id *string
	if jmap.DecodeArguments(raw, &id) != nil {
		return nil, jmap.InvalidProperties(label.Property+": neither the id of a label nor null", label.Property)
	}
	if id == nil {
		return nil, nil
	}
	found := labels.Find(*id)
	if found == nil {
		return nil, jmap.InvalidProperties(label.Property+": the tenant has no such label, Label/get lists those that it has", label.Property)
	}
	return found, nil
}

// mark writes the label of a draft into the message: the field that carries it, and what the label adds to the
// subject and the text. What a former label added is taken out, because drafts are composed anew from what they were.
func (d *draft) mark(fields message.Fields, root *message.Entity) message.Fields {
	labels := d.edit.service.opts.Labels(d.edit.tenant)
	if labels == nil {
		return fields
	}
	if d.label != nil {
		fields = append(fields, message.Field{Name: label.Header, Value: message.FormatText(labels.Value(d.label, d.edit.service.opts.Now()))})
	}
	had, _ := fields.Last("Subject")
	before := message.DecodeText(had)
	if after := labels.Subject(before, d.label); after != before {
		fields = slices.DeleteFunc(fields, func(f message.Field) bool { return strings.EqualFold(f.Name, "Subject") })
		fields = append(fields, message.Field{Name: "Subject", Value: message.FormatText(after)})
	}
	d.markTexts(labels, root)
	return fields
}

// markTexts puts what the label adds into the first plain text and the first HTML text that the client composed.
func (d *draft) markTexts(labels *label.Set, root *message.Entity) {
	marked := map[string]bool{}
	root.Walk(func(e *message.Entity) bool {
		if strings.HasPrefix(e.Type, "multipart/signed") || strings.HasPrefix(e.Type, "multipart/encrypted") {
			return false // a mark would break the signature, and there is nothing to read
		}
		if marked[e.Type] || !d.composed(e) {
			return true
		}
		marked[e.Type] = true
		switch e.Type {
		case "text/plain":
			e.Content = []byte(labels.Text(string(e.Content), d.label))
		case "text/html":
			e.Content = []byte(labels.HTML(string(e.Content), d.label))
		}
		return true
	})
}

// composed says whether a part is text that the client wrote into the body: what it attaches stays as it is. A
// message without a body has an empty one.
func (d *draft) composed(e *message.Entity) bool {
	disposition, _ := e.Fields.Last("Content-Disposition")
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(disposition)), "attachment") {
		return false
	}
	return slices.Contains(d.texts, e) || e.Type == "text/plain" && len(e.Content) == 0
}

// relabelled is a change of the label of an email.
type relabelled struct {
	from, to      *tenantdoc.Label
	justification string
}

// relabelling takes the change of the label out of a patch, and checks it. It returns nil when the patch is about
// other things.
func (m *emailSetter) relabelling(e *edit, email *email, patch jmap.PatchObject) (jmap.PatchObject, *relabelled, error) {
	raw, given := patch[label.Property]
	why, justified := patch[label.JustificationProperty]
	switch {
	case !given && !justified:
		return patch, nil, nil
	case !given:
		return nil, nil, jmap.InvalidProperties(label.JustificationProperty+": only beside "+label.Property, label.JustificationProperty)
	}
	change := &relabelled{}
	if justified && jmap.DecodeArguments(why, &change.justification) != nil {
		return nil, nil, jmap.InvalidProperties(label.JustificationProperty+": not a String", label.JustificationProperty)
	}
	labels := m.service.opts.Labels(e.tenant)
	var refused *jmap.SetError
	if change.to, refused = m.findLabel(labels, raw); refused != nil {
		return nil, nil, refused
	}
	change.from = labels.Effective(email.Carried, email.Label)
	if refused = label.CheckChange(change.from, change.to, change.justification); refused != nil {
		return nil, nil, refused
	}
	if email.has("$draft") && change.from != change.to {
		return nil, nil, jmap.InvalidProperties(label.Property+": the label of a draft is a part of its message: create the draft anew with it, and destroy this one", label.Property)
	}
	rest := maps.Clone(patch)
	delete(rest, label.Property)
	delete(rest, label.JustificationProperty)
	return rest, change, nil
}

// relabel sets the label beside the message, which stays as it is.
func (m *emailSetter) relabel(e *edit, email *email, change *relabelled) error {
	if change == nil || change.from == change.to {
		return nil
	}
	id := ""
	if change.to != nil {
		id = change.to.ID
	}
	email.Label = &id
	logged := store.Change{Type: typeEmail, ID: email.ID, Kind: store.Updated}
	e.tx.Changed(logged)
	for _, box := range email.Mailboxes {
		if err := e.logFor(box, logged); err != nil {
			return err
		}
	}
	if label.Lowers(change.from, change.to) {
		m.downgrades = append(m.downgrades, label.Downgrade{
			Tenant: plainTenant(e.tenant), Actor: m.call.Principal.AccountID, Account: e.account, Email: email.ID,
			From: change.from.ID, To: id, JustificationLength: len(change.justification),
		})
	}
	return e.setJSON(e.keys.email(email.ID), email)
}

// audit accounts for the downgrades that a commit has made durable.
func (m *emailSetter) audit(ctx context.Context) {
	for _, d := range m.downgrades {
		m.service.opts.Audit.Downgraded(ctx, d)
	}
	m.downgrades = nil
}
