package mail

import (
	"errors"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// faults are the properties of a record that are invalid, and why: a refusal names all of them (RFC 8620 section 5.3).
type faults struct {
	wrong []string
	why   []string
}

func (f *faults) invalid(property, why string) {
	f.wrong = append(f.wrong, property)
	f.why = append(f.why, property+": "+why)
}

// note keeps invalid properties to be reported with the others; any other error is returned.
func (f *faults) note(err error) error {
	refused, ok := errors.AsType[*jmap.SetError](err)
	if !ok || refused.Type != jmap.SetErrorInvalidProperties {
		return err
	}
	f.wrong = append(f.wrong, refused.Properties...)
	f.why = append(f.why, refused.Description)
	return nil
}

// refusal sums up what is wrong; nil when nothing is.
func (f *faults) refusal() *jmap.SetError {
	if len(f.wrong) == 0 {
		return nil
	}
	return jmap.InvalidProperties(strings.Join(f.why, "; "), slices.Compact(slices.Sorted(slices.Values(f.wrong)))...)
}
