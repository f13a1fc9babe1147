package tenantdoc

import (
	"encoding/json"
	"fmt"
)

// longest names the list that takes most of a document, which is the one to shorten.
func (d *Document) longest() string {
	name, size := "", 0
	for _, list := range []struct {
		name    string
		content any
	}{
		{"the domains of the tenant", d.Domains},
		{"the regions of the tenant", d.Regions},
		{"the identity of the tenant, most of all its CA bundle", d.Issuers},
		{"the tooltips and markings of its sensitivity labels", d.Labels},
		{d.longestMailbox(), d.SharedMailboxes},
	} {
		if n := sizeOf(list.content); n > size {
			name, size = list.name, n
		}
	}
	return fmt.Sprintf("%s (%d bytes)", name, size)
}

func (d *Document) longestMailbox() string {
	if len(d.SharedMailboxes) == 0 {
		return ""
	}
	longest := &d.SharedMailboxes[0]
	for i := range d.SharedMailboxes {
		if len(d.SharedMailboxes[i].Members) > len(longest.Members) {
			longest = &d.SharedMailboxes[i]
		}
	}
	return fmt.Sprintf("the members of its %d shared mailboxes in this region, of which %q has %d", len(d.SharedMailboxes), longest.Address, len(longest.Members))
}

func sizeOf(content any) int {
	raw, err := json.Marshal(content)
	if err != nil {
		return 0
	}
	return len(raw)
}
