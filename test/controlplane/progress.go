package controlplane

import (
	"fmt"
	"io"
)

// progress writes lines for a person who waits.
type progress struct {
	w      io.Writer
	prefix string
}

// newProgress writes to w, which may be nil.
func newProgress(w io.Writer) progress {
	if w == nil {
		w = io.Discard
	}
	return progress{w, "controlplane: "}
}

// step is the progress of one of the steps of a long task.
func (p progress) step(number, of int) progress {
	return progress{p.w, fmt.Sprintf("%s%d of %d: ", p.prefix, number, of)}
}

// sayf writes a line. Progress that cannot be shown is no reason to fail.
func (p progress) sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, p.prefix+format+"\n", args...)
}
