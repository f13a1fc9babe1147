package belonging

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// NotAccepted is the condition Served of what is not accepted, by its noun.
func NotAccepted(noun string) conditions.Dependent {
	return conditions.Unknown(v1alpha1.ConditionServed, v1alpha1.ReasonNotServedYet, fmt.Sprintf("the %s is served once it is accepted", noun))
}

// ServedIn is the condition Served of what one region is given or not.
func ServedIn(region v1alpha1.RegionReference, given bool, noun string, tenant v1alpha1.ObjectName) conditions.Dependent {
	if given {
		return conditions.True(v1alpha1.ConditionServed, v1alpha1.ReasonServed, "")
	}
	return behind([]string{fmt.Sprintf("%q", region)}, noun, tenant)
}

// ServedEverywhere is the condition Served of what every region of a tenant is to be
// given: has tells whether one is given it as it is declared.
func ServedEverywhere(regions map[v1alpha1.RegionReference]Given, has func(Given) bool, noun string, tenant v1alpha1.ObjectName) conditions.Dependent {
	if len(regions) == 0 {
		return conditions.Waiting(v1alpha1.ConditionServed, v1alpha1.ReasonNotServedYet, fmt.Sprintf(
			"no region serves tenant %q yet: see its conditions if this lasts", tenant))
	}
	var without []string
	for region, given := range regions {
		if !has(given) {
			without = append(without, fmt.Sprintf("%q", region))
		}
	}
	if len(without) > 0 {
		return behind(without, noun, tenant)
	}
	return conditions.True(v1alpha1.ConditionServed, v1alpha1.ReasonServed, "")
}

func behind(regions []string, noun string, tenant v1alpha1.ObjectName) conditions.Dependent {
	slices.Sort(regions)
	return conditions.Waiting(v1alpha1.ConditionServed, v1alpha1.ReasonNotServedYet, fmt.Sprintf(
		"region %s is not given the %s as it is declared yet: see the conditions of tenant %q if this lasts", strings.Join(regions, ", "), noun, tenant))
}
