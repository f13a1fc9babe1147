package address

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Address{
		"ann@agency.example":         {"ann", "agency.example"},
		"Ann.Lee+x@Agency.Example":   {"Ann.Lee+x", "agency.example"},
		"jürgen@bücher.example":      {"jürgen", "bücher.example"},
		`"ann lee"@agency.example`:   {"ann lee", "agency.example"},
		`"a\"b\\c"@agency.example`:   {`a"b\c`, "agency.example"},
		`"a@b"@agency.example`:       {"a@b", "agency.example"},
		`"a> SIZE=1 <"@x.example`:    {"a> SIZE=1 <", "x.example"},
		`"a..b"@x.example`:           {"a..b", "x.example"},
		"postmaster@[192.0.2.1]":     {"postmaster", "[192.0.2.1]"},
		"ann@[IPv6:2001:db8::1]":     {"ann", "[ipv6:2001:db8::1]"},
		"ann@_spf.agency-x.example9": {"ann", "_spf.agency-x.example9"},
	} {
		got, err := Parse(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which reads as %+v, %v", in, got, again, err)
		}
	}
}

func TestBrokenAddressesAreRefused(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                    `address: "@" is missing`,
		"ann":                                 `address: "@" is missing`,
		"@x.example":                          "address: the local part has 0 octets, not 1 to 64",
		"ann@":                                "address: the domain has 0 octets, not 1 to 255",
		strings.Repeat("a", 65) + "@x":        "address: the local part has 65 octets, not 1 to 64",
		"ann@" + strings.Repeat("a", 256):     "address: the domain has 256 octets, not 1 to 255",
		"a\r\nDATA@x.example":                 "address: the local part holds control characters or broken UTF-8",
		"a\xff@x.example":                     "address: the local part holds control characters or broken UTF-8",
		"ann@x.example> SIZE=1":               "address: the domain is neither a name nor an address literal",
		"ann@x..example":                      "address: the domain is neither a name nor an address literal",
		"ann@-x.example":                      "address: the domain is neither a name nor an address literal",
		"ann@x-.example":                      "address: the domain is neither a name nor an address literal",
		"ann@[]":                              "address: the domain is neither a name nor an address literal",
		"ann@[192.0.2.1":                      "address: the domain is neither a name nor an address literal",
		"ann@\xff.example":                    "address: the domain is neither a name nor an address literal",
		`"ann`:                                "address: the quoted local part does not end",
		`"ann\`:                               "address: the quoted local part does not end",
		`"ann"x.example`:                      `address: "@" is missing after the quoted local part`,
		`"ann"@`:                              "address: the domain has 0 octets, not 1 to 255",
		"ann@exam\u00a0ple":                   "address: the domain is neither a name nor an address literal",
		"ann@" + "x.example" + "\u0085" + "a": "address: the domain is neither a name nor an address literal",
	} {
		if got, err := Parse(in); err == nil || err.Error() != want {
			t.Errorf("%q: %+v, error %v, want %q", in, got, err, want)
		}
	}
}

func TestAddressesTellWhetherTheyNeedSMTPUTF8(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"ann@x.example": true, "jürgen@x.example": false, "ann@bücher.example": false} {
		a, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.ASCII(); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"ann@x.example", `"a\"> SIZE=1 <"@x.example`, "jürgen@[192.0.2.1]", `"\`, "a@b@c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, read := range []func(string) (Address, error){Parse, Unquoted} {
			a, err := read(s)
			if err != nil {
				continue
			}
			written := a.String()
			if strings.ContainsFunc(written, unicode.IsControl) {
				t.Errorf("%q is written with control characters", s)
			}
			if again, err := Parse(written); err != nil || again != a {
				t.Errorf("%q is written as %q, which reads as %+v, %v", s, written, again, err)
			}
			if !strings.HasPrefix(written, `"`) && strings.ContainsAny(written, "<> \t\"\\") {
				t.Errorf("%q is written as %q, which can end the path", s, written)
			}
		}
	})
}
