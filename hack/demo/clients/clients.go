// Package clients runs a JMAP client of another language against the demonstration: a
// script for the library jmap-jam, in Node.js. Nothing is installed into the repository.
package clients

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// oldest is the first major version of Node.js that the client runs on.
const oldest = 18

// remedy says what to do without Node.js.
const remedy = "DEMO=check runs a mail client written for it: install Node.js 18.17 or newer with npm (on Debian: apt-get install nodejs npm)"

// ErrNoNode says that Node.js is missing.
var ErrNoNode = errors.New("node or npm is not on the PATH: " + remedy)

//go:embed package.json package-lock.json route.mjs session.mjs
var files embed.FS

// Node is the Node.js of this machine.
type Node struct{ node, npm string }

// Find looks for Node.js and npm.
func Find(ctx context.Context) (Node, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return Node{}, ErrNoNode
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return Node{}, ErrNoNode
	}
	version, err := exec.CommandContext(ctx, node, "--version").Output()
	if err != nil {
		return Node{}, fmt.Errorf("%s --version: %w", node, err)
	}
	if !recent(string(version)) {
		return Node{}, fmt.Errorf("%s is version %q: %s", node, strings.TrimSpace(string(version)), remedy)
	}
	return Node{node: node, npm: npm}, nil
}

// recent reports whether a version, as Node.js prints it, is recent enough.
func recent(version string) bool {
	var major int
	_, err := fmt.Sscanf(version, "v%d.", &major)
	return err == nil && major >= oldest
}

// Client is an installed client.
type Client struct{ node, folder string }

// Install puts the client and its libraries, as package-lock.json has them, into a
// folder, which it makes. The packages come from npm's cache as far as they are there.
func (n Node) Install(ctx context.Context, folder string) (Client, error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return Client{}, fmt.Errorf("install client: %w", err)
	}
	names, err := fs.Glob(files, "*")
	if err != nil {
		return Client{}, fmt.Errorf("install client: %w", err)
	}
	for _, name := range names {
		content, err := files.ReadFile(name)
		if err != nil {
			return Client{}, fmt.Errorf("install client: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return Client{}, fmt.Errorf("install client: %w", err)
		}
	}
	err = run(ctx, folder, nil, n.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	return Client{node: n.node, folder: folder}, err
}

// Session lets two people, of whom the access document tells, write to each other, and
// use all else that the script does. Each has a second account of the given name.
func (c Client) Session(ctx context.Context, access []byte, sender, recipient, shared string) error {
	return run(ctx, c.folder, access, c.node, "session.mjs", sender, recipient, shared)
}

// run runs a program in a folder. What it says on standard error is in the error.
func run(ctx context.Context, folder string, input []byte, program string, args ...string) error {
	const lastWait = 5 * time.Second
	var message bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdin, cmd.Stderr, cmd.WaitDelay = folder, bytes.NewReader(input), &message, lastWait
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w:\n%s", filepath.Base(program), args[0], err, strings.TrimSpace(message.String()))
	}
	return nil
}
