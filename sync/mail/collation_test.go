package mail

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheDefaultCollationIsTheOrderPeopleKnow(t *testing.T) {
	t.Parallel()
	want := []string{
		"", "_draft", "a b", "ab", "Ada", "anna2@agency.us", "ännchen", "Ärzte", "Eva", "Évariste", "Mail 1", "Mail 2", "ó", "straße", "Strauß", "user@agency.us",
		"user2@agency.us", "Zoë", "Ωmega", "\u65e5\u672c",
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(collate(a, ""), collate(b, "")) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for _, same := range [][2]string{{"bob", "BOB"}, {"Straße", "straße"}, {"e\u0301", "é"}, {"Ａ", "a"}} {
		if collate(same[0], "") != collate(same[1], "") {
			t.Errorf("%q and %q differ", same[0], same[1])
		}
	}
}

func TestKeysOfACollationAreMadeByManyAtATime(t *testing.T) {
	t.Parallel()
	names := []string{"Zoë", "user@agency.us", "\xff\xfe", strings.Repeat("ä", 10_000), ""}
	var want []string
	for _, name := range names {
		want = append(want, collate(name, ""))
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i, name := range names {
				if got := collate(name, ""); got != want[i] {
					t.Errorf("%.10q has another key than before", name)
				}
			}
		})
	}
	group.Wait()
}
