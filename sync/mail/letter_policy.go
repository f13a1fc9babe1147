package mail

import (
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
)

// checkPolicies refuses a message that the tenant's rules do not let leave its author as it is: what S/MIME must do
// for it, and what its sensitivity label demands.
func (l *letter) checkPolicies() *jmap.SetError {
	service := l.edit.service
	if service.opts.Outgoing != nil {
		if refused := smime.CheckOutgoing(service.opts.Outgoing(l.call.Principal.Tenant), l.data); refused != nil {
			return refused
		}
	}
	labels := service.opts.Labels(l.call.Principal.Tenant)
	carried := label.Carried(l.fields.All(label.Header))
	if l.email.Label != nil {
		carried = append(carried, *l.email.Label)
	}
	effective := labels.Highest(carried)
	if effective == nil {
		return nil
	}
	out := label.Outgoing{Inside: l.colleague, Encrypted: smime.Encrypted(l.data)}
	for _, to := range l.to {
		out.Recipients = append(out.Recipients, to.Address)
	}
	refused := label.CheckOutgoing(effective, out)
	if refused == nil {
		return nil
	}
	return &jmap.SetError{Type: setErrorForbiddenToSend, Description: refused.Remedy}
}

// colleague tells whether an address is in a domain of the sender's tenant.
func (l *letter) colleague(address string) bool {
	_, home, homed := l.edit.service.homeOf(address)
	return homed && home.Tenant == l.call.Principal.Tenant
}
