package mail

// rights are what a principal may do with a mailbox, one bit each (RFC 8621 section 2, and mayShare of RFC 9670).
type rights uint16

// The bits are stored: they keep their places.
const (
	mayReadItems rights = 1 << iota
	mayAddItems
	mayRemoveItems
	maySetSeen
	maySetKeywords
	mayCreateChild
	mayRename
	mayDelete
	maySubmit
	mayShare

	allRights = 1<<iota - 1
)

// reading are the rights that change nothing in the account.
const reading = mayReadItems | maySubmit

// has says whether all of some rights are there.
func (r rights) has(wanted rights) bool { return r&wanted == wanted }

// mailRights are what the user may do with a mailbox (RFC 8621 section 2).
type mailRights struct {
	MayReadItems   bool `json:"mayReadItems"`
	MayAddItems    bool `json:"mayAddItems"`
	MayRemoveItems bool `json:"mayRemoveItems"`
	MaySetSeen     bool `json:"maySetSeen"`
	MaySetKeywords bool `json:"maySetKeywords"`
	MayCreateChild bool `json:"mayCreateChild"`
	MayRename      bool `json:"mayRename"`
	MayDelete      bool `json:"mayDelete"`
	MaySubmit      bool `json:"maySubmit"`
}

// mailboxRights are those with the right to share, which only requests that use principals know of (RFC 9670 section 4).
type mailboxRights struct {
	mailRights

	MayShare bool `json:"mayShare"`
}

// object writes rights as MailboxRights.
func (r rights) object() mailboxRights {
	return mailboxRights{MayShare: r.has(mayShare), mailRights: mailRights{
		MayReadItems: r.has(mayReadItems), MayAddItems: r.has(mayAddItems), MayRemoveItems: r.has(mayRemoveItems),
		MaySetSeen: r.has(maySetSeen), MaySetKeywords: r.has(maySetKeywords), MayCreateChild: r.has(mayCreateChild),
		MayRename: r.has(mayRename), MayDelete: r.has(mayDelete), MaySubmit: r.has(maySubmit),
	}}
}

// bits reads MailboxRights; what is absent is false.
func (o mailboxRights) bits() (r rights) {
	for i, given := range []bool{
		o.MayReadItems, o.MayAddItems, o.MayRemoveItems, o.MaySetSeen, o.MaySetKeywords, o.MayCreateChild, o.MayRename,
		o.MayDelete, o.MaySubmit, o.MayShare,
	} {
		if given {
			r |= 1 << i
		}
	}
	return r
}
