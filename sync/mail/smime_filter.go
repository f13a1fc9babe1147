package mail

import (
	"context"
	"errors"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
)

// smimeCondition is what RFC 9219 section 4.2 adds to a FilterCondition of Email/query.
type smimeCondition struct {
	HasSMIME                   *bool `json:"hasSmime"`
	HasVerifiedSMIME           *bool `json:"hasVerifiedSmime"`
	HasVerifiedSMIMEAtDelivery *bool `json:"hasVerifiedSmimeAtDelivery"`
}

// smimeMutable says whether the condition looks at what can change.
func (c *smimeCondition) smimeMutable() bool {
	return c.HasVerifiedSMIME != nil || c.HasVerifiedSMIMEAtDelivery != nil
}

// checkSMIME refuses the conditions of the capability in a request that does not use it.
func (c *smimeCondition) checkSMIME(using map[string]bool) error {
	if *c != (smimeCondition{}) && !using[SMIMEVerifyURI] {
		return &jmap.MethodError{
			Type:        jmap.ErrorUnsupportedFilter,
			Description: "filter: hasSmime, hasVerifiedSmime and hasVerifiedSmimeAtDelivery need " + SMIMEVerifyURI + " in using",
		}
	}
	return nil
}

func (c *candidate) matchesSMIME(cond *smimeCondition) bool {
	if cond.HasSMIME != nil && (c.meta().SMIME != "") != *cond.HasSMIME {
		return false
	}
	if !cond.smimeMutable() {
		return true
	}
	f := c.finder
	known, err := f.signatures.of(f.ctx, f.reader, c.meta(), false)
	if err != nil {
		f.fail(err)
		return false
	}
	return (cond.HasVerifiedSMIME == nil || (known.Status == smime.StatusVerified) == *cond.HasVerifiedSMIME) &&
		(cond.HasVerifiedSMIMEAtDelivery == nil || (known.Delivery == smime.StatusVerified) == *cond.HasVerifiedSMIMEAtDelivery)
}

// onSignatures says whether a filter looks at what signatures are worth. That changes with time alone, so no change log
// tells of it.
func onSignatures(f *jmap.Filter[emailCondition]) bool {
	depends := false
	f.Walk(func(c *emailCondition) { depends = depends || c.smimeMutable() })
	return depends
}

// settle keeps what a query found out, also when it then failed.
func (f *finder) settle(ctx context.Context, err error) error {
	return errors.Join(err, f.signatures.keep(ctx))
}
