package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// sourceFolder is where the module that pins the control plane's sources lies,
// seen from the root of the repository.
const sourceFolder = "hack/controlplane"

// binary is an executable of the control plane and the package it is made from.
type binary struct {
	name string
	pkg  string
}

// The binaries in the order of compilation: quick ones first, so that a broken
// toolchain shows early.
var binaries = []binary{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
}

// kubernetesVersion finds the version of Kubernetes in a go.mod file.
var kubernetesVersion = regexp.MustCompile(`(?m)^\s*(?:require )?k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)`)

// source is the module that the binaries are compiled from, and how.
type source struct {
	dir       string
	version   string
	goVersion string
	flags     []string
	// key names everything that a binary depends on: equal keys, equal binaries.
	key string
}

// findSource looks for the module in the folder from and all folders above it.
func findSource(ctx context.Context, from string) (*source, error) {
	dir, err := sourceAbove(from)
	if err != nil {
		return nil, err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("read the module of the control plane: %w", err)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("read the checksums of the control plane: %w", err)
	}
	match := kubernetesVersion.FindSubmatch(mod)
	if match == nil {
		return nil, fmt.Errorf("read %q: no version of k8s.io/kubernetes is required there", filepath.Join(dir, "go.mod"))
	}
	s := &source{dir: dir, version: string(match[1])}
	s.flags = buildFlags(string(match[1]), string(match[2]), string(match[3]))
	if s.goVersion, err = goVersion(ctx, dir); err != nil {
		return nil, err
	}
	s.key = keyOf(mod, sum, []byte(s.goVersion), []byte(strings.Join(s.flags, "\n")), []byte(runtime.GOOS+"/"+runtime.GOARCH))
	return s, nil
}

func sourceAbove(from string) (string, error) {
	for dir := from; ; dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, filepath.FromSlash(sourceFolder))
		_, err := os.Stat(filepath.Join(candidate, "go.mod"))
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("look for the sources of the control plane: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no %q in %q or a folder above it: run this inside of the repository", sourceFolder+"/go.mod", from)
		}
	}
}

// buildFlags are the flags of go build. The version is set as the release
// scripts of Kubernetes set it, because kubectl and the API server report it.
func buildFlags(version, major, minor string) []string {
	const variables = "k8s.io/component-base/version."
	linker := []string{
		"-s", "-w",
		"-X", variables + "gitVersion=" + version,
		"-X", variables + "gitMajor=" + major,
		"-X", variables + "gitMinor=" + minor,
		"-X", variables + "gitTreeState=clean",
	}
	return []string{"-trimpath", "-ldflags=" + strings.Join(linker, " ")}
}

// buildEnvironment leaves the caller's proxy and cache settings alone and fixes
// what would change the binaries.
func buildEnvironment() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
}

func goVersion(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir = dir
	cmd.Env = buildEnvironment()
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("find the go command: %w: install Go from https://go.dev/dl and put it on PATH", err)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("ask go for its version: %w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("ask go for its version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// keyOf hashes the parts with their lengths, so that no two lists of parts read
// the same.
func keyOf(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		h.Write([]byte{':'})
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))[:20]
}
