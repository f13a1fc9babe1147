package rewrite

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

var paths = New([]volume.Mount{
	{Source: "/real/data", Target: "/data"},
	{Source: "/real/nested", Target: "/data/nested"},
	{Source: "/real/tmp", Target: "/tmp"},
	{Source: "/ignored", Target: "/"},
})

func TestMountPathsAreReplacedOnlyWhereAPathBegins(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "",
		"/":                              "/",
		"/data":                          "/real/data",
		"/data/":                         "/real/data/",
		"/data/a.txt":                    "/real/data/a.txt",
		"/data/nested":                   "/real/nested",
		"/data/nested/x":                 "/real/nested/x",
		"/data/nestedness":               "/real/data/nestedness",
		"/database":                      "/database",
		"/other/data":                    "/other/data",
		"--dir=/data":                    "--dir=/real/data",
		"--dirs=/data:/tmp,/data/nested": "--dirs=/real/data:/real/tmp,/real/nested",
		`cat "/data/a" '/tmp/b'`:         `cat "/real/data/a" '/real/tmp/b'`,
		"https://host/data":              "https://host/data",
		"(/data)":                        "(/real/data)",
		"x /data; y":                     "x /real/data; y",
	} {
		if got := paths.Text(text); got != want {
			t.Errorf("Text(%q): got %q, want %q", text, got, want)
		}
	}
	if diff := cmp.Diff([]string{"/real/data", "b"}, paths.List([]string{"/data", "b"})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func FuzzTextWithoutMountPathsStaysAsItIs(f *testing.F) {
	f.Add("--dir=/data")
	f.Add("/data/nested/x:/tmp")
	f.Add("///data")
	f.Fuzz(func(t *testing.T, text string) {
		got := paths.Text(text)
		if !strings.Contains(text, "/data") && !strings.Contains(text, "/tmp") && got != text {
			t.Errorf("Text(%q): got %q", text, got)
		}
		if none := New(nil).Text(text); none != text {
			t.Errorf("without mounts, Text(%q): got %q", text, none)
		}
	})
}
