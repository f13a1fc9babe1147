package label

import (
	"fmt"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Outgoing is a message that is about to be sent.
type Outgoing struct {
	// Recipients are the addresses of the envelope.
	Recipients []string
	// Inside says whether an address is in a domain of the tenant, such as the Homes method of its document.
	Inside func(address string) bool
	// Encrypted says that the message itself is encrypted; transport encryption does not count.
	Encrypted bool
}

// Demand is what a label demands of outgoing mail.
type Demand string

// The demands.
const (
	// DemandInside forbids recipients outside the tenant's domains.
	DemandInside Demand = "inside"
	// DemandEncryption demands that the message is encrypted.
	DemandEncryption Demand = "encryption"
)

// OutgoingError is why a message may not be sent as it is.
type OutgoingError struct {
	// Demand is what is not met.
	Demand Demand
	// Recipients are those that are refused, for DemandInside.
	Recipients []string
	// Remedy says what is wrong and what to do. It names no address, so that it may be logged.
	Remedy string
}

// Error returns the remedy.
func (e *OutgoingError) Error() string { return e.Remedy }

// CheckOutgoing says why mail with a label may not be sent as it is, or returns nil when it may. The label is the
// highest of the one that the Email has and those that its header carries, see Set.Highest; nil demands nothing.
func CheckOutgoing(l *tenantdoc.Label, o Outgoing) *OutgoingError {
	if l == nil {
		return nil
	}
	if l.Protection.StayInside {
		if outside := outsiders(o); len(outside) > 0 {
			return &OutgoingError{
				Demand: DemandInside, Recipients: outside,
				Remedy: fmt.Sprintf("mail with the label %q does not leave the organisation, and %d of its recipients are outside: remove them, or choose a lower label", l.Name, len(outside)),
			}
		}
	}
	if l.Protection.Encrypt && !o.Encrypted {
		return &OutgoingError{
			Demand: DemandEncryption,
			Remedy: fmt.Sprintf("mail with the label %q is sent encrypted only: encrypt it with S/MIME, or choose a lower label", l.Name),
		}
	}
	return nil
}

func outsiders(o Outgoing) []string {
	var outside []string
	for _, recipient := range o.Recipients {
		if o.Inside == nil || !o.Inside(recipient) {
			outside = append(outside, recipient)
		}
	}
	return outside
}
