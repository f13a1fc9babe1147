package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cacheVariable names the environment variable that moves the cache.
const cacheVariable = "BAILIWICK_CACHE"

// manifestName is the file that a complete folder of binaries carries. It is
// written last, before the folder gets its final name.
const manifestName = "manifest.json"

// manifest says what a folder of binaries holds.
type manifest struct {
	Kubernetes string `json:"kubernetes"`
	Go         string `json:"go"`
	// Bytes has the size of each binary.
	Bytes map[string]int64 `json:"bytes"`
}

// Assets returns the folder that holds etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler and kubectl, in the shape that
// KUBEBUILDER_ASSETS asks for. It compiles them when the cache does not have
// them for this machine, Go version and go.sum, which takes minutes; progress,
// which may be nil, then gets a line now and then. Callers that run at the same
// time, in this process or in another, wait for one compilation.
//
// The cache lies in $BAILIWICK_CACHE or, by default, in bailiwick/controlplane
// of the user's cache folder. A folder of binaries that is damaged is compiled
// again.
func Assets(ctx context.Context, progress io.Writer) (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	src, err := findSource(ctx, wd)
	if err != nil {
		return "", err
	}
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	c := cache{root: root, progress: newProgress(progress), build: src.compile}
	return c.ensure(ctx, src.key, manifest{Kubernetes: src.version, Go: src.goVersion})
}

func cacheRoot() (string, error) {
	if dir := os.Getenv(cacheVariable); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", fmt.Errorf("%s is %q: give an absolute path", cacheVariable, dir)
		}
		return filepath.Join(dir, "controlplane"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w: set %s to a folder that can be written", err, cacheVariable)
	}
	return filepath.Join(dir, "bailiwick", "controlplane"), nil
}

// cache keeps folders of binaries by key.
type cache struct {
	root     string
	progress progress
	// build makes one binary at the path out.
	build func(ctx context.Context, bin binary, out string, told progress) error
}

// ensure returns the folder for the key and fills it when it is missing or
// damaged.
func (c cache) ensure(ctx context.Context, key string, about manifest) (string, error) {
	dir := filepath.Join(c.root, key)
	if checkAssets(dir) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(c.root, 0o750); err != nil {
		return "", fmt.Errorf("make the cache of the control plane: %w: set %s to a folder that can be written", err, cacheVariable)
	}
	unlock, err := c.lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another process may have filled the folder while this one waited.
	damage := checkAssets(dir)
	if damage == nil {
		return dir, nil
	}
	if _, err := os.Stat(dir); err == nil {
		c.progress.sayf("%q is compiled again: %v", dir, damage)
	}
	if err := c.fill(ctx, dir, about); err != nil {
		return "", err
	}
	return dir, nil
}

// lock takes the file lock and returns what gives it back. The kernel gives it
// back when this process dies.
func (c cache) lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the cache: %w", err)
	}
	for waited := false; ; waited = true {
		err := tryLock(f)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %q: %w", path, err)
		}
		if !waited {
			c.progress.sayf("waiting for another process that compiles the control plane")
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for the lock %q: %w", path, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// fill compiles into a folder of another name and renames it when all is there,
// so that nobody ever sees half of it.
func (c cache) fill(ctx context.Context, dir string, about manifest) error {
	work := dir + ".incomplete"
	if err := errors.Join(os.RemoveAll(work), os.RemoveAll(dir)); err != nil {
		return fmt.Errorf("clear the cache of the control plane: %w", err)
	}
	if err := os.Mkdir(work, 0o750); err != nil {
		return fmt.Errorf("make the cache of the control plane: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	c.progress.sayf("compiling Kubernetes %s with %s, once for this machine; on two cores it takes about six minutes",
		about.Kubernetes, about.Go)
	about.Bytes = make(map[string]int64, len(binaries))
	begin := time.Now()
	for i, bin := range binaries {
		out := filepath.Join(work, bin.name)
		if err := c.build(ctx, bin, out, c.progress.step(i+1, len(binaries))); err != nil {
			return fmt.Errorf("compile %s: %w", bin.name, err)
		}
		info, err := os.Stat(out)
		if err != nil {
			return fmt.Errorf("compile %s: %w", bin.name, err)
		}
		about.Bytes[bin.name] = info.Size()
	}
	if err := writeManifest(filepath.Join(work, manifestName), about); err != nil {
		return err
	}
	if err := os.Rename(work, dir); err != nil {
		return fmt.Errorf("publish the binaries: %w", err)
	}
	c.progress.sayf("compiled in %s, kept in %q", time.Since(begin).Round(time.Second), dir)
	return nil
}

func writeManifest(path string, m manifest) error {
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest of the binaries: %w", err)
	}
	if err := os.WriteFile(path, append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the manifest of the binaries: %w", err)
	}
	return nil
}

// checkAssets refuses a folder that is not exactly what fill published.
func checkAssets(dir string) error {
	body, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("read %q: %w", filepath.Join(dir, manifestName), err)
	}
	for _, bin := range binaries {
		info, err := os.Stat(filepath.Join(dir, bin.name))
		if err != nil {
			return err
		}
		if info.Size() != m.Bytes[bin.name] {
			return fmt.Errorf("%s has %d bytes, the manifest says %d", bin.name, info.Size(), m.Bytes[bin.name])
		}
		if info.Mode()&0o100 == 0 {
			return fmt.Errorf("%s is not executable", bin.name)
		}
	}
	return nil
}
