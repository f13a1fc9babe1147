// Package cast names who appears in the demonstration: the people, their issuers, and
// the tenants and regions of config/samples in which they live.
package cast

import (
	"github.com/bailiwick-dev/bailiwick/hack/demo/corpus"
	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
)

// Audience is the resource that access tokens are for.
const Audience = "bailiwick-sync"

// CASecret and CAKey name the Secret of a tenant's namespace that holds the
// certificate of its issuer.
const (
	CASecret = "issuer-ca"
	CAKey    = "ca.crt"
)

// Issuer is the OpenID provider of one sovereign cloud.
type Issuer struct {
	Cloud   string
	Address string
	Users   []identity.User
}

// URL returns the issuer identifier.
func (i Issuer) URL() string { return "https://" + i.Address }

// Object is the namespace and name of an object.
type Object struct{ Namespace, Name string }

// String returns "namespace/name".
func (o Object) String() string { return o.Namespace + "/" + o.Name }

// Regions and tenants of config/samples.
var (
	Paris    = Object{"regions-eu", "paris"}
	Chicago  = Object{"regions-us", "chicago"}
	Virginia = Object{"regions-gcch", "virginia"}

	Contoso = Object{"contoso", "contoso"}
	Agency  = Object{"agency", "agency"}
	Acme    = Object{"acme", "acme"}
)

// SharedMailbox is a mailbox of config/samples that residents share.
type SharedMailbox struct {
	Object

	// Name is shown to its members.
	Name    string
	Members []string
	Region  Object
}

// SharedMailboxes lists the shared mailboxes.
func SharedMailboxes() []SharedMailbox {
	return []SharedMailbox{
		{Object: Object{"contoso", "helpdesk"}, Name: "Help desk", Members: []string{"ada@contoso.example", "chloe@contoso.example"}, Region: Paris},
		{Object: Object{"agency", "watch"}, Name: "Watch floor", Members: []string{"grace@agency.example", "henry@agency.example"}, Region: Virginia},
	}
}

// Regions lists the regions.
func Regions() []Object { return []Object{Paris, Chicago, Virginia} }

// Accepted lists the tenants that become ready.
func Accepted() []Object { return []Object{Contoso, Agency} }

// Tenants lists all tenants; Acme is the refused one.
func Tenants() []Object { return []Object{Contoso, Agency, Acme} }

// Worldwide is the issuer of the worldwide cloud. Its users differ in where their
// mailboxes are.
func Worldwide() Issuer {
	return Issuer{Cloud: "worldwide", Address: "127.77.1.1:9443", Users: []identity.User{
		{Subject: "7d1f6a52-ada", Name: "Ada Martin", Email: "ada@contoso.example"},
		{Subject: "7d1f6a52-ben", Name: "Ben Okafor", Email: "ben@contoso.example", Location: "NAM"},
		{Subject: "7d1f6a52-chloe", Name: "Chloé Lefèvre", Email: "chloe@contoso.example", Location: "EUR"},
		{Subject: "7d1f6a52-dan", Name: "Dan Ito", Email: "dan@contoso.example", Location: "ZZZ"},
		{Subject: "7d1f6a52-eve", Name: "Eve Stranger", Email: "eve@elsewhere.example"},
	}}
}

// GCCHigh is the issuer of the government cloud.
func GCCHigh() Issuer {
	return Issuer{Cloud: "gcc-high", Address: "127.77.2.1:9443", Users: []identity.User{
		{Subject: "2c90b1e4-grace", Name: "Grace Hill", Email: "grace@agency.example"},
		{Subject: "2c90b1e4-henry", Name: "Henry Ruiz", Email: "henry@agency.example"},
	}}
}

// Resident is a user whose mailbox is filled.
type Resident struct {
	Email  string
	Tenant Object
	// Home is the tenant's home region, where a client starts, and Region is where the
	// mailbox has to be.
	Home   Object
	Region Object
	Cloud  string
	// Device makes the user sign in through the device authorization flow.
	Device bool
}

// Residents lists the users whose mailboxes are filled.
func Residents() []Resident {
	return []Resident{
		{Email: "ada@contoso.example", Tenant: Contoso, Home: Paris, Region: Paris, Cloud: "worldwide"},
		{Email: "ben@contoso.example", Tenant: Contoso, Home: Paris, Region: Chicago, Cloud: "worldwide", Device: true},
		{Email: "chloe@contoso.example", Tenant: Contoso, Home: Paris, Region: Paris, Cloud: "worldwide"},
		{Email: "grace@agency.example", Tenant: Agency, Home: Virginia, Region: Virginia, Cloud: "gcc-high"},
	}
}

// Correspondents returns whom the owner of an address gets mail from.
func Correspondents(owner string) []corpus.Person {
	var others []corpus.Person
	for _, issuer := range []Issuer{Worldwide(), GCCHigh()} {
		for _, u := range issuer.Users {
			if u.Email != owner {
				others = append(others, corpus.Person{Name: u.Name, Address: u.Email})
			}
		}
	}
	return others
}

// Person returns the owner of an address.
func Person(address string) corpus.Person {
	for _, issuer := range []Issuer{Worldwide(), GCCHigh()} {
		for _, u := range issuer.Users {
			if u.Email == address {
				return corpus.Person{Name: u.Name, Address: u.Email}
			}
		}
	}
	return corpus.Person{Name: address, Address: address}
}
