package region

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func TestDrainingFitsIntoTheTimeThatAPodHasToEnd(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64][]string{
		0:    nil,
		1:    {"--drain-delay=166.666666ms", "--drain-timeout=733.333334ms"},
		30:   {"--drain-delay=5s", "--drain-timeout=22s"},
		3600: {"--drain-delay=5s", "--drain-timeout=53m55s"},
	} {
		r := &v1alpha1.MailboxRegion{}
		r.Spec.Template.TerminationGracePeriodSeconds = seconds
		if diff := cmp.Diff(want, drain(r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", time.Duration(seconds)*time.Second, diff)
		}
	}
}
