package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeBuild writes small executables and counts them.
func fakeBuild(count *atomic.Int32) func(context.Context, binary, string, progress) error {
	return func(_ context.Context, bin binary, out string, _ progress) error {
		count.Add(1)
		return os.WriteFile(out, []byte("#!/bin/sh\necho "+bin.name+"\n"), 0o700)
	}
}

func TestBinariesAreCompiledOnceByConcurrentCallers(t *testing.T) {
	t.Parallel()
	var built atomic.Int32
	root := filepath.Join(t.TempDir(), "cache")
	var wg sync.WaitGroup
	dirs := make([]string, 8)
	for i := range dirs {
		wg.Go(func() {
			c := cache{root: root, progress: newProgress(nil), build: fakeBuild(&built)}
			dir, err := c.ensure(t.Context(), "key", manifest{Kubernetes: "v1.2.3"})
			if err != nil {
				t.Errorf("ensure: %v", err)
			}
			dirs[i] = dir
		})
	}
	wg.Wait()
	for _, dir := range dirs {
		if want := filepath.Join(root, "key"); dir != want {
			t.Errorf("folder %q, want %q", dir, want)
		}
	}
	if got := int(built.Load()); got != len(binaries) {
		t.Errorf("%d compilations, want %d", got, len(binaries))
	}
}

func TestDamagedCacheIsCompiledAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(dir string) error{
		"a binary is missing":     func(dir string) error { return os.Remove(filepath.Join(dir, "kubectl")) },
		"a binary is cut short":   func(dir string) error { return os.Truncate(filepath.Join(dir, "etcd"), 3) },
		"a binary cannot run":     func(dir string) error { return os.Chmod(filepath.Join(dir, "etcd"), 0o600) },
		"the manifest is missing": func(dir string) error { return os.Remove(filepath.Join(dir, manifestName)) },
		"the manifest is no JSON": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestName), []byte("{"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var built atomic.Int32
			var told bytes.Buffer
			c := cache{root: t.TempDir(), progress: newProgress(&told), build: fakeBuild(&built)}
			dir, err := c.ensure(t.Context(), "key", manifest{})
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if err := checkAssets(dir); err == nil {
				t.Fatal("the damaged folder is taken for whole")
			}
			if _, err := c.ensure(t.Context(), "key", manifest{}); err != nil {
				t.Fatal(err)
			}
			if err := checkAssets(dir); err != nil {
				t.Errorf("still damaged: %v", err)
			}
			if got, want := int(built.Load()), 2*len(binaries); got != want {
				t.Errorf("%d compilations, want %d", got, want)
			}
			if !strings.Contains(told.String(), "is compiled again: ") {
				t.Errorf("progress does not say why: %q", told.String())
			}
		})
	}
}

func TestFailedCompilationLeavesNothingToUse(t *testing.T) {
	t.Parallel()
	broken := errors.New("no space left")
	c := cache{root: t.TempDir(), progress: newProgress(nil), build: func(_ context.Context, bin binary, out string, _ progress) error {
		if bin.name == "kube-apiserver" {
			return broken
		}
		return os.WriteFile(out, nil, 0o700)
	}}
	_, err := c.ensure(t.Context(), "key", manifest{})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "compile kube-apiserver: ") {
		t.Errorf("error %v does not say what failed", err)
	}
	left, err := filepath.Glob(filepath.Join(c.root, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(c.root, "key.lock")}, left); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

func TestCompilerThatMakesNothingIsAnError(t *testing.T) {
	t.Parallel()
	c := cache{root: t.TempDir(), progress: newProgress(nil), build: func(context.Context, binary, string, progress) error { return nil }}
	if _, err := c.ensure(t.Context(), "key", manifest{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the binary does not exist", err)
	}
}

func TestWaitForTheCacheEndsWithTheContext(t *testing.T) {
	t.Parallel()
	var told bytes.Buffer
	c := cache{root: t.TempDir(), progress: newProgress(&told)}
	unlock, err := c.lock(t.Context(), filepath.Join(c.root, "key.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	impatient := errors.New("impatient")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(impatient)
	if _, err := c.ensure(ctx, "key", manifest{}); !errors.Is(err, impatient) {
		t.Errorf("error %v, want the cause of the context's end", err)
	}
	if !strings.Contains(told.String(), "waiting for another process") {
		t.Errorf("progress does not say that it waits: %q", told.String())
	}
}

func TestCacheThatCannotBeMadeNamesTheRemedy(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := cache{root: filepath.Join(file, "cache"), progress: newProgress(nil)}
	if _, err := c.ensure(t.Context(), "key", manifest{}); err == nil || !strings.Contains(err.Error(), cacheVariable) {
		t.Errorf("error %v does not name %s", err, cacheVariable)
	}
}

func TestCacheFolderComesFromTheEnvironment(t *testing.T) {
	t.Setenv(cacheVariable, "/somewhere")
	if got, err := cacheRoot(); err != nil || got != "/somewhere/controlplane" {
		t.Errorf("cacheRoot() = %q, %v", got, err)
	}
	t.Setenv(cacheVariable, "here")
	if _, err := cacheRoot(); err == nil || !strings.Contains(err.Error(), "absolute path") {
		t.Errorf("a relative cache folder gives error %v", err)
	}
	t.Setenv(cacheVariable, "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := cacheRoot(); err == nil || !strings.Contains(err.Error(), cacheVariable) {
		t.Errorf("without a home folder the error is %v", err)
	}
}

func TestKeyFollowsWhatBinariesDependOn(t *testing.T) {
	t.Parallel()
	mod := "module example.org/x\n\nrequire k8s.io/kubernetes v1.37.2\n"
	first := sourceOf(t, mod, "a h1:1=\n")
	if same := sourceOf(t, mod, "a h1:1=\n"); same.key != first.key {
		t.Error("equal modules have different keys")
	}
	if other := sourceOf(t, mod, "a h1:2=\n"); other.key == first.key {
		t.Error("another checksum has the same key")
	}
	newer := sourceOf(t, strings.ReplaceAll(mod, "v1.37.2", "v1.38.0"), "a h1:1=\n")
	if newer.key == first.key {
		t.Error("another version has the same key")
	}
	if want := "gitMajor=1 -X k8s.io/component-base/version.gitMinor=38"; !strings.Contains(newer.flags[1], want) {
		t.Errorf("linker flags %q do not set %q", newer.flags[1], want)
	}
	if keyOf([]byte("a"), []byte("bc")) == keyOf([]byte("ab"), []byte("c")) {
		t.Error("the key does not tell where a part ends")
	}
}

// sourceOf finds a module in a repository of the test's own, from a folder deep
// inside.
func sourceOf(t *testing.T, mod, sum string) *source {
	t.Helper()
	root := t.TempDir()
	deep := filepath.Join(root, "some", "package")
	module := filepath.Join(root, filepath.FromSlash(sourceFolder))
	for _, dir := range []string{deep, module} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, body := range map[string]string{"go.mod": mod, "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := findSource(t.Context(), deep)
	if err != nil {
		t.Fatal(err)
	}
	if s.dir != module {
		t.Errorf("module in %q, want %q", s.dir, module)
	}
	return s
}

func TestMissingSourcesAreExplained(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if _, err := findSource(t.Context(), root); err == nil || !strings.Contains(err.Error(), "run this inside of the repository") {
		t.Errorf("without a module the error is %v", err)
	}
	module := filepath.Join(root, filepath.FromSlash(sourceFolder))
	if err := os.MkdirAll(module, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ file, body, want string }{
		{"go.mod", "module example.org/x\n", "read the checksums of the control plane: "},
		{"go.sum", "", "no version of k8s.io/kubernetes is required"},
	} {
		if err := os.WriteFile(filepath.Join(module, step.file), []byte(step.body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := findSource(t.Context(), root); err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("after writing %s the error is %v, want %q", step.file, err, step.want)
		}
	}
}

func TestMissingGoIsExplained(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := goVersion(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "https://go.dev/dl") {
		t.Errorf("without go the error is %v", err)
	}
}

// tinyModule is a source that compiles in a moment.
func tinyModule(t *testing.T, code string) *source {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string]string{"go.mod": "module example.org/tiny\n\ngo 1.26\n", "main.go": code} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &source{dir: dir, flags: buildFlags("v1.2.3", "1", "2")}
}

func TestCompileMakesAnExecutable(t *testing.T) {
	t.Parallel()
	s := tinyModule(t, "package main\n\nfunc main() {}\n")
	out := filepath.Join(t.TempDir(), "tiny")
	var told bytes.Buffer
	if err := s.compile(t.Context(), binary{"tiny", "example.org/tiny"}, out, newProgress(&told)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the result is %v, %v: want an executable", info, err)
	}
	if !strings.Contains(told.String(), "tiny compiled in ") {
		t.Errorf("progress %q", told.String())
	}
}

func TestCompilerErrorsAreQuoted(t *testing.T) {
	t.Parallel()
	s := tinyModule(t, "package main\n\nfunc main() { undefinedThing() }\n")
	err := s.compile(t.Context(), binary{"tiny", "example.org/tiny"}, filepath.Join(t.TempDir(), "tiny"), newProgress(nil))
	if err == nil || !strings.Contains(err.Error(), "undefined: undefinedThing") {
		t.Errorf("error %v does not quote the compiler", err)
	}
}

func TestCompilationEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := tinyModule(t, "package main\n\nfunc main() {}\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.compile(ctx, binary{"tiny", "example.org/tiny"}, filepath.Join(t.TempDir(), "tiny"), newProgress(nil))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestBuildLogTellsProgressFromProblems(t *testing.T) {
	t.Parallel()
	var l buildLog
	for _, piece := range []string{
		"go: downloading k8s.io/api v0.37.2\ngo: down", "loading k8s.io/utils v0.0.0\n",
	} {
		if _, err := l.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := l.summary(), "2 modules downloaded"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
	fmt.Fprint(&l, "k8s.io/api/core/v1\nk8s.io/utils/ptr\n# k8s.io/broken\nbroken.go:1:2: no such thing\nlast words")
	if got, want := l.summary(), "2 packages compiled"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
	if got, want := l.problems(), "# k8s.io/broken\nbroken.go:1:2: no such thing\nlast words"; got != want {
		t.Errorf("problems %q, want %q", got, want)
	}
	for i := range 2 * keptProblems {
		fmt.Fprintf(&l, "\nproblem number %d", i)
	}
	if got := strings.Count(l.problems(), "\n"); got > keptProblems {
		t.Errorf("an error would quote %d lines, want at most %d", got, keptProblems)
	}
}
