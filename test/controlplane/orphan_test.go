package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startAndWaitForDeath is what the test binary does as the parent of a plane: it
// tells the processes of the plane and waits to be killed.
func startAndWaitForDeath(parent string) int {
	p, err := Start(context.Background(), Options{APIServerOnly: true, Parent: parent})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, component := range p.running {
		fmt.Fprintln(os.Stdout, component.cmd.Process.Pid)
	}
	if err := os.Stdout.Close(); err != nil {
		return 1
	}
	<-p.Failed()
	return 1
}

func TestComponentsDieWithAKilledParent(t *testing.T) {
	t.Parallel()
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("starts a control plane, and needs a kernel that ends children with their parent")
	}
	folder := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), orphanVariable+"="+folder)
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	if _, err := told.ReadFrom(stdout); err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(told.String())
	for _, pid := range pids {
		if !alive(t, pid) {
			t.Errorf("process %s does not run", pid)
		}
	}
	if len(pids) != 2 {
		t.Errorf("processes %q, want those of etcd and the API server", pids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the parent ended before it was killed")
	}
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for alive(t, pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %s outlives its parent", pid)
			}
			time.Sleep(pollInterval)
		}
	}
	if err := sweep(folder); err != nil {
		t.Error(err)
	}
	checkEmpty(t, folder)
}

// alive says whether a process runs. One that has ended and that nobody waits
// for is dead.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return !strings.Contains(err.Error(), "no such process")
	}
	state := stat[bytes.LastIndexByte(stat, ')')+1:]
	return !strings.HasPrefix(string(state), " Z") && !strings.HasPrefix(string(state), " X")
}
