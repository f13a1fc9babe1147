package tenantdoc

import (
	"errors"
	"fmt"
	"regexp"
)

// Label is a sensitivity label of a tenant.
type Label struct {
	// ID is the label's UUID in lower case, as the msip_labels header names it.
	ID string `json:"id"`
	// Name is for people.
	Name string `json:"name"`
	// Rank orders the labels of a tenant, and is unique in it: higher is more
	// sensitive.
	Rank int32 `json:"rank"`
	// Color is #rrggbb; it may be empty.
	Color string `json:"color,omitempty"`
	// Tooltip helps people to choose; it may be empty.
	Tooltip string `json:"tooltip,omitempty"`
	// Marking is what the label adds to the content.
	Marking LabelMarking `json:"marking,omitzero"`
	// Protection is what the label demands of labelled mail.
	Protection LabelProtection `json:"protection,omitzero"`
	// Mobile is what clients must hold to on devices.
	Mobile LabelMobile `json:"mobile,omitzero"`
}

// LabelMarking is what a label adds to the content. What is empty adds nothing.
type LabelMarking struct {
	Header        string `json:"header,omitempty"`
	Footer        string `json:"footer,omitempty"`
	SubjectPrefix string `json:"subjectPrefix,omitempty"`
}

// LabelProtection is what a label demands of labelled mail.
type LabelProtection struct {
	// Encrypt demands that labelled mail is encrypted.
	Encrypt bool `json:"encrypt,omitempty"`
	// StayInside forbids recipients outside the tenant's domains.
	StayInside bool `json:"stayInside,omitempty"`
	// JustifyDowngrade demands a reason when a lower label, or none, replaces this one.
	JustifyDowngrade bool `json:"justifyDowngrade,omitempty"`
}

// LabelMobile restricts labelled mail on devices.
type LabelMobile struct {
	// MinimumProtection of the devices that may show labelled mail: Basic, Enhanced,
	// High, or empty for any.
	MinimumProtection string `json:"minimumProtection,omitempty"`
	// NoPrint, NoCopy and NoScreenshots forbid what their names say.
	NoPrint       bool `json:"noPrint,omitempty"`
	NoCopy        bool `json:"noCopy,omitempty"`
	NoScreenshots bool `json:"noScreenshots,omitempty"`
}

var labelID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func validateLabels(labels []Label) error {
	ids, ranks := map[string]bool{}, map[int32]bool{}
	for i := range labels {
		l := &labels[i]
		if err := l.validate(); err != nil {
			return fmt.Errorf("labels[%d].%w", i, err)
		}
		if ids[l.ID] {
			return fmt.Errorf("labels[%d].id: %q occurs twice", i, l.ID)
		}
		if ranks[l.Rank] {
			return fmt.Errorf("labels[%d].rank: %d occurs twice", i, l.Rank)
		}
		ids[l.ID], ranks[l.Rank] = true, true
	}
	return nil
}

func (l *Label) validate() error {
	switch {
	case !labelID.MatchString(l.ID):
		return fmt.Errorf("id: %q is not a UUID in lower case", l.ID)
	case l.Name == "":
		return errors.New("name: missing")
	case l.Rank < 0:
		return fmt.Errorf("rank: %d is below 0", l.Rank)
	}
	switch l.Mobile.MinimumProtection {
	case "", "Basic", "Enhanced", "High":
		return nil
	default:
		return fmt.Errorf("mobile.minimumProtection: %q is unknown", l.Mobile.MinimumProtection)
	}
}
