package belonging

import (
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// Accepted is the condition that tells of a problem, or of what a person should know
// all the same.
func Accepted(p *Problem, note string) conditions.Dependent {
	const kind = v1alpha1.ConditionAccepted
	switch {
	case p == nil:
		return conditions.True(kind, v1alpha1.ReasonAccepted, note)
	case p.Temporary:
		return conditions.Waiting(kind, p.Reason, p.Message)
	default:
		return conditions.Blocked(kind, p.Reason, p.Message)
	}
}
