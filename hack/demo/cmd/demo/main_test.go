package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/hack/demo/clients"
)

func TestFlagsThatMeanNothingAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		options options
		want    string
	}{
		"mode":   {options{mode: "run", output: outputText}, `mode "run": choose "stay" or "check"`},
		"output": {options{mode: modeStay, output: "yaml"}, `output "yaml": choose "text" or "json"`},
		"token":  {options{token: "nobody"}, `token for "nobody": choose one of `},
	}
	for name, c := range cases {
		var out, messages bytes.Buffer
		err := c.options.run(t.Context(), &out, &messages)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%s: got %v, %q", name, err, out.String())
		}
	}
}

func TestACheckWithoutNodeFailsBeforeAnythingIsStarted(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out, messages bytes.Buffer
	err := options{mode: modeCheck, output: outputText}.run(t.Context(), &out, &messages)
	if !errors.Is(err, clients.ErrNoNode) || out.Len() > 0 {
		t.Errorf("got %v, %q", err, out.String())
	}
}
