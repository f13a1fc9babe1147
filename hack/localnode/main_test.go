package main

import (
	"io"
	"strings"
	"testing"
)

func TestCommandLineNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`"data-dir" not set`: {},
		"REF=PATH":           {"--data-dir=/does/not/exist", "--image=nonsense"},
		"kubeconfig":         {"--data-dir=" + t.TempDir(), "--kubeconfig=/does/not/exist"},
		`"surprise"`:         {"--data-dir=" + t.TempDir(), "surprise"},
		"invalid argument":   {"--port=70000"},
	} {
		cmd := command()
		cmd.SetArgs(args)
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", args, err, want)
		}
	}
}
