package tenantdoc

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SharedMailbox is a mailbox that several users of a tenant share. A document lists
// those that live in its region and no other: what happens to them elsewhere is nothing
// that a region has to know.
type SharedMailbox struct {
	// Address is the address of the mailbox, in one of the tenant's domains, lower
	// case.
	Address string `json:"address"`
	// Name is for people; it may be empty.
	Name string `json:"name,omitempty"`
	// Account is the JMAP account that holds the mail, as SharedAccountID makes it.
	Account string `json:"account"`
	// Members are the users with rights, sorted by address.
	Members []Member `json:"members,omitempty"`
}

// Member is a user with rights over a shared mailbox.
type Member struct {
	// Address of the user, lower case.
	Address string `json:"address"`
	// FullAccess reads and changes the mailbox.
	FullAccess bool `json:"fullAccess,omitempty"`
	// SendAs sends with the mailbox's address alone.
	SendAs bool `json:"sendAs,omitempty"`
	// SendOnBehalf sends with the mailbox's address and the member's own as Sender.
	SendOnBehalf bool `json:"sendOnBehalf,omitempty"`
}

// sharedPrefix begins every account of a shared mailbox, and no account of a user: a
// document cannot give away somebody's own mail.
const sharedPrefix = "s"

// sharedBytes is how much of the hash an account id keeps: 160 bits.
const sharedBytes = 20

var sharedEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// SharedAccountID is the account of a shared mailbox. It depends on the tenant
// ("namespace/name") and the address alone, and on the UID of no object: what an object
// is deleted and created again for (a region that is rebuilt, a cluster that is restored
// from Git) must not lose mail, and the accounts of users outlive that too.
func SharedAccountID(tenant, address string) string {
	h := sha256.New()
	// The length parts the two, so that no other pair gives the same bytes.
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(tenant))))
	_, _ = h.Write([]byte(tenant))
	_, _ = h.Write([]byte(strings.ToLower(address)))
	return sharedPrefix + sharedEncoding.EncodeToString(h.Sum(nil)[:sharedBytes])
}

// Withdrawn tells whether an account is that of a shared mailbox which the document
// does not declare: its mail is kept, and nobody uses it.
func (d *Document) Withdrawn(account string) bool {
	declared := func(m SharedMailbox) bool { return m.Account == account }
	return isSharedAccountID(account) && (!d.Features.SharedMailboxes || !slices.ContainsFunc(d.SharedMailboxes, declared))
}

func isSharedAccountID(id string) bool {
	rest, ok := strings.CutPrefix(id, sharedPrefix)
	raw, err := sharedEncoding.DecodeString(rest)
	return ok && err == nil && len(raw) == sharedBytes && sharedEncoding.EncodeToString(raw) == rest
}

func (d *Document) validateSharedMailboxes() error {
	addresses, accounts := map[string]bool{}, map[string]bool{}
	for i := range d.SharedMailboxes {
		m := &d.SharedMailboxes[i]
		if err := m.validate(d.Domains); err != nil {
			return fmt.Errorf("sharedMailboxes[%d].%w", i, err)
		}
		if addresses[m.Address] {
			return fmt.Errorf("sharedMailboxes[%d].address: %q occurs twice", i, m.Address)
		}
		if accounts[m.Account] {
			return fmt.Errorf("sharedMailboxes[%d].account: %q occurs twice", i, m.Account)
		}
		addresses[m.Address], accounts[m.Account] = true, true
	}
	return nil
}

func (m *SharedMailbox) validate(domains []string) error {
	if err := validateAddress(m.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if !homes(domains, m.Address) {
		return fmt.Errorf("address: %q is in none of the domains", m.Address)
	}
	if !isSharedAccountID(m.Account) {
		return fmt.Errorf("account: %q is not the account of a shared mailbox", m.Account)
	}
	members := map[string]bool{}
	for i, member := range m.Members {
		if err := member.validate(); err != nil {
			return fmt.Errorf("members[%d].%w", i, err)
		}
		if members[member.Address] {
			return fmt.Errorf("members[%d].address: %q occurs twice", i, member.Address)
		}
		members[member.Address] = true
	}
	return nil
}

// Homes tells whether an address is in one of the tenant's domains. Addresses are
// compared without regard to case.
func (d *Document) Homes(address string) bool {
	return homes(d.Domains, address)
}

func homes(domains []string, address string) bool {
	at := strings.LastIndexByte(address, '@')
	return at > 0 && slices.Contains(domains, strings.ToLower(address[at+1:]))
}

func (m Member) validate() error {
	if err := validateAddress(m.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	switch {
	case m.SendAs && m.SendOnBehalf:
		return errors.New("sendOnBehalf: set beside sendAs")
	case !m.FullAccess && !m.SendAs && !m.SendOnBehalf:
		return errors.New("fullAccess: the member has no right")
	}
	return nil
}

func validateAddress(address string) error {
	local, domain, _ := strings.Cut(address, "@")
	if local == "" || domain == "" || strings.Contains(domain, "@") || address != strings.ToLower(address) {
		return fmt.Errorf("%q is not a lower-case mail address", address)
	}
	return nil
}
