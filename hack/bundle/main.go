// Command bundle generates the OLM bundle of the operator from the manifests and
// samples in config/, so that what OLM installs is what kustomize installs.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", "../..", "folder of the repository")
	out := flag.String("out", "", "folder of the bundle; bundle/ of the repository when empty")
	flag.Parse()
	if *out == "" {
		*out = filepath.Join(*root, "bundle")
	}
	if err := Generate(*root, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}
