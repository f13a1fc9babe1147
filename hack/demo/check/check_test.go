package check

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
)

func TestDifferenceNamesWhatCameWentAndChanged(t *testing.T) {
	t.Parallel()
	before := map[string]string{"same": "1", "changed": "1", "gone": "1"}
	after := map[string]string{"same": "1", "changed": "2", "new": "1"}
	if diff := cmp.Diff([]string{"changed", "gone", "new"}, difference(before, after)); diff != "" {
		t.Error(diff)
	}
	if got := difference(before, before); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestOnlyARefusalWithAChallengeRefuses(t *testing.T) {
	t.Parallel()
	challenge := http.Header{"Www-Authenticate": {"Bearer"}}
	cases := map[string]struct {
		answer  answer
		refuses bool
	}{
		"401":                   {answer{status: 401, header: challenge}, true},
		"403":                   {answer{status: 403}, true},
		"401 without challenge": {answer{status: 401}, false},
		"200":                   {answer{status: 200, header: challenge}, false},
		"500":                   {answer{status: 500}, false},
	}
	for name, c := range cases {
		if err := c.answer.refuses(); (err == nil) != c.refuses {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryRegionHasAResident(t *testing.T) {
	t.Parallel()
	for _, region := range cast.Regions() {
		if r := resident(region); r.Region != region {
			t.Errorf("%s: %v", region, r)
		}
	}
	if r := resident(cast.Acme); r.Email != "" {
		t.Errorf("got %v", r)
	}
}
