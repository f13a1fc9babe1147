package identity

import (
	"fmt"
	"slices"
	"strings"
)

// User is a person an issuer knows. Choosing a user on the issuer's page is the
// whole login: the demonstration has no passwords to leak.
type User struct {
	// Subject is the stable identifier that goes into the "sub" claim. It never
	// changes, also when the address does.
	Subject string
	// Name is the display name of the "name" claim.
	Name string
	// Email is the primary address of the "email" claim.
	Email string
	// Location is the preferred data location of the "xms_pdl" claim, a geography
	// code such as "NAM". Empty leaves the claim out.
	Location string
}

// directory holds the users of one issuer by subject and by address.
type directory struct {
	ordered []User
	byKey   map[string]User
}

func newDirectory(users []User) (*directory, error) {
	d := &directory{byKey: make(map[string]User, 2*len(users))}
	for i, u := range users {
		if u.Subject == "" || u.Email == "" {
			return nil, fmt.Errorf("user %d: subject and email are required", i)
		}
		for _, key := range []string{u.Subject, strings.ToLower(u.Email)} {
			if _, ok := d.byKey[key]; ok {
				return nil, fmt.Errorf("user %d: %q is already taken", i, key)
			}
			d.byKey[key] = u
		}
		d.ordered = append(d.ordered, u)
	}
	slices.SortFunc(d.ordered, func(a, b User) int { return strings.Compare(a.Email, b.Email) })
	return d, nil
}

// find returns the user with this subject or address.
func (d *directory) find(key string) (User, bool) {
	if u, ok := d.byKey[key]; ok {
		return u, true
	}
	u, ok := d.byKey[strings.ToLower(key)]
	return u, ok
}
