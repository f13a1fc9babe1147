package region

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestADSNGivesThePortsOfItsHosts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dsn  string
		want []int32
	}{
		"no port":                  {"postgres://u:p@db.example/mail?sslmode=verify-full", []int32{5432}},
		"a port":                   {"postgresql://u:p@db.example:6432/mail?sslmode=verify-full", []int32{6432}},
		"a newline at the end":     {"postgres://u@db.example/mail?sslmode=verify-full\n", []int32{5432}},
		"several hosts":            {"postgres://u:p@a.example:5433,b.example,c.example:5433/mail?target_session_attrs=read-write&sslmode=verify-full", []int32{5432, 5433}},
		"IPv6":                     {"postgres://u:p@[2001:db8::7]:5440/mail?sslmode=verify-full", []int32{5440}},
		"a host in the query":      {"postgres:///mail?host=a.example,b.example&port=1,2&sslmode=verify-full", []int32{1, 2}},
		"a port in the query":      {"postgres://a.example/mail?port=7&sslmode=verify-full", []int32{7}},
		"an at sign in a password": {"postgres://u:p%40x@db.example/mail?sslmode=verify-full", []int32{5432}},
		"words":                    {"host=db.example port=5433 user=u password='it\\'s = secret' sslmode=verify-full", []int32{5433}},
		"words with spaces":        {"host = db.example\nsslmode = 'verify-full'", []int32{5432}},
		"one port for all hosts":   {"host=a,b port=5433 sslmode=verify-full", []int32{5433}},
		"this machine":             {"postgres://u:p@localhost/mail", nil},
		"a loopback address":       {"postgres://u:p@127.0.0.1:5433/mail?sslmode=disable", nil},
		"IPv6 loopback":            {"host=::1 dbname=mail", nil},
		"a socket":                 {"postgres://u@%2Fvar%2Frun%2Fpostgresql/mail", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseDSN([]byte(test.dsn))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
		})
	}
}

func TestABadDSNIsRefusedWithTheRemedyAndWithoutItsContent(t *testing.T) {
	t.Parallel()
	const weak = "set sslmode=verify-full"
	tests := map[string]struct{ dsn, want string }{
		"nothing":             {" \n", "is empty"},
		"far too long":        {"postgres://hunter2@" + strings.Repeat("h", maxDSNBytes), "more than 8192"},
		"no TLS mode":         {"postgres://u:hunter2@db.example/mail", weak},
		"no TLS":              {"postgres://u:hunter2@db.example/mail?sslmode=disable", weak},
		"an unchecked name":   {"postgres://u:hunter2@db.example/mail?sslmode=verify-ca", weak},
		"one host abroad":     {"postgres://u:hunter2@localhost,db.example/mail", weak},
		"the last mode wins":  {"postgres://u:hunter2@db.example/mail?sslmode=verify-full&sslmode=require", weak},
		"words without TLS":   {"host=db.example password=hunter2", weak},
		"no host":             {"postgres:///mail?sslmode=verify-full", "names no host"},
		"words without host":  {"dbname=mail password=hunter2 sslmode=verify-full", "names no host"},
		"a service":           {"service=mail password=hunter2", "names a service"},
		"a port that is none": {"postgres://u:hunter2@db.example:70000/mail?sslmode=verify-full", "names a port that is none"},
		"port zero":           {"host=db.example port=0 sslmode=verify-full", "names a port that is none"},
		"another language":    {"mysql://u:hunter2@db.example/mail", "is no connection string"},
		"a password alone":    {"hunter2", "is no connection string"},
		"an open quote":       {"host=db.example password='hunter2", "has a quote that does not end"},
		"a bare hash":         {"postgres://u:hunter2#@db.example/mail?sslmode=verify-full", "percent-encode"},
		"a bad escape":        {"postgres://u:hunter2@db.example/mail?sslmode=%zz", "percent-encode"},
		"a bad host":          {"postgres://u:hunter2@%zz/mail?sslmode=verify-full", "percent-encode"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseDSN([]byte(test.dsn))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v, want an error with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "db.example") {
				t.Errorf("the error repeats the connection string: %v", err)
			}
		})
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, seed := range []string{
		"postgres://u:p@a:1,b/mail?sslmode=verify-full", "host=a port=1,2 sslmode='verify-full'", "postgres://[::1]:5432/", "a='\\", "=", "postgres://@,:,[?host=",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ports, err := parseDSN(raw)
		if err != nil {
			return
		}
		if !slices.IsSorted(ports) || slices.ContainsFunc(ports, func(p int32) bool { return p < 1 || p > 65535 }) {
			t.Errorf("ports %v", ports)
		}
		if len(ports) > 0 && !strings.Contains(string(raw), "sslmode") && !strings.Contains(string(raw), "%") {
			t.Errorf("accepted %q without a word about TLS", raw)
		}
	})
}
