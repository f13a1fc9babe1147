package process

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kept is what a process wrote.
type kept struct {
	mu   sync.Mutex
	text map[string]string
}

func (k *kept) store(stream string, reader io.Reader) error {
	data, err := io.ReadAll(reader)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.text == nil {
		k.text = map[string]string{}
	}
	k.text[stream] = string(data)
	return err
}

func shell(script string) *exec.Cmd { return exec.Command("/bin/sh", "-c", script) }

func spawner(t *testing.T) *Spawner {
	t.Helper()
	s := NewSpawner()
	t.Cleanup(s.Close)
	return s
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for range 500 {
		fields, err := stat(strconv.Itoa(pid))
		if err != nil || fields[0] == "Z" { // a zombie waits for init, which a container may not have
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d still runs", pid)
}

func TestExitAndOutputOfAProcessAreTold(t *testing.T) {
	t.Parallel()
	s := spawner(t)
	for script, want := range map[string]Exit{
		"echo out; echo err >&2":                 {Code: 0},
		"echo out; echo err >&2; exit 7":         {Code: 7},
		"echo out; echo err >&2; kill -TERM $$":  {Code: 143, Signal: syscall.SIGTERM},
		"echo out; echo err >&2; sleep 600 & :":  {Code: 0},
		"echo out; echo err >&2; kill -KILL $$ ": {Code: 137, Signal: syscall.SIGKILL},
	} {
		var output kept
		p, err := Run(shell(script), s.Start, output.store, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		got := p.Exit()
		if got.Code != want.Code || got.Signal != want.Signal || got.Finished.IsZero() {
			t.Errorf("%q: got %+v, want %+v", script, got, want)
		}
		if output.text["stdout"] != "out\n" || output.text["stderr"] != "err\n" {
			t.Errorf("%q: output %v", script, output.text)
		}
		if err := errors.Join(p.Signal(syscall.SIGTERM), p.Kill()); err != nil {
			t.Errorf("%q: after the end: %v", script, err)
		}
	}
}

func TestKillEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	child := make(chan string, 1)
	p, err := Run(shell("sleep 600 & echo $!; wait"), spawner(t).Start, func(stream string, reader io.Reader) error {
		if stream == "stdout" {
			buffer := make([]byte, 32)
			n, _ := reader.Read(buffer)
			child <- strings.TrimSpace(string(buffer[:n]))
		}
		_, err := io.Copy(io.Discard, reader)
		return err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(<-child)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	gone(t, pid)
}

func TestSignalReachesTheProcess(t *testing.T) {
	t.Parallel()
	ready := make(chan struct{})
	p, err := Run(shell("trap 'exit 9' USR1; echo; while :; do sleep 0.05; done"), spawner(t).Start, func(stream string, reader io.Reader) error {
		if stream == "stdout" {
			_, _ = reader.Read(make([]byte, 1))
			close(ready)
		}
		_, err := io.Copy(io.Discard, reader)
		return err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-ready
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Exit().Code != 9 {
		t.Errorf("got %+v", p.Exit())
	}
}

func TestOutputThatCannotBeStoredDoesNotBlockTheProcess(t *testing.T) {
	t.Parallel()
	p, err := Run(shell("head -c 1000000 /dev/zero; exit 4"), spawner(t).Start, func(string, io.Reader) error { return errors.New("disk full") }, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Exit().Code != 4 {
		t.Errorf("got %+v", p.Exit())
	}
}

func TestProgramThatCannotStartIsAnError(t *testing.T) {
	t.Parallel()
	s := spawner(t)
	if _, err := Run(exec.Command("/does/not/exist"), s.Start, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	s.Close()
	if _, err := Run(shell("true"), s.Start, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestClosingTheSpawnerKillsItsProcesses(t *testing.T) {
	t.Parallel()
	s := NewSpawner()
	var output kept
	p, err := Run(shell("exec sleep 600"), s.Start, output.store, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	<-p.Done()
	if p.Exit().Signal != syscall.SIGKILL {
		t.Errorf("got %+v", p.Exit())
	}
}

func TestNextNodeKillsWhatIsRecorded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "processes")
	records, killed, err := OpenRecords(dir)
	if err != nil || killed != 0 {
		t.Fatalf("new books: killed %d, %v", killed, err)
	}
	s := spawner(t)
	var output kept
	p, err := Run(shell("sleep 600 & wait"), s.Start, output.store, records)
	if err != nil {
		t.Fatal(err)
	}
	short, err := Run(shell("true"), s.Start, output.store, records)
	if err != nil {
		t.Fatal(err)
	}
	<-short.Done()
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d processes are recorded, want the one that runs", len(entries))
	}
	if _, killed, err = OpenRecords(dir); err != nil || killed != 1 {
		t.Errorf("killed %d, %v", killed, err)
	}
	<-p.Done()
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("%d records are left", len(entries))
	}
}

func TestGroupWithoutItsLeaderIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := shell("sleep 600 & echo $!")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	line := make([]byte, 32)
	n, err := reader.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	out.Write(line[:n])
	records := &Records{dir: dir}
	start, err := startTime(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	write(t, records, cmd.Process.Pid, start, boot)
	if _, killed, err := OpenRecords(dir); err != nil || killed != 1 {
		t.Errorf("killed %d, %v", killed, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

func write(t *testing.T, records *Records, pid int, start uint64, boot string) {
	t.Helper()
	data := `{"pid":` + strconv.Itoa(pid) + `,"start":` + strconv.FormatUint(start, 10) + `,"boot":"` + boot + `"}`
	if err := os.WriteFile(filepath.Join(records.dir, strconv.Itoa(pid)+".json"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOtherProcessesAreLeftAlone(t *testing.T) {
	t.Parallel()
	var output kept
	p, err := Run(shell("exec sleep 600"), spawner(t).Start, output.store, nil)
	if err != nil {
		t.Fatal(err)
	}
	start, err := startTime(strconv.Itoa(p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	records := &Records{dir: t.TempDir()}
	write(t, records, p.Pid(), start+1, boot)     // the same number, started at another time
	write(t, records, 1<<22+1, start, boot)       // no process can have this number
	write(t, records, os.Getpid(), start, "boot") // another boot
	if err := os.WriteFile(filepath.Join(records.dir, "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, killed, err := OpenRecords(records.dir); err != nil || killed != 0 {
		t.Errorf("killed %d, %v", killed, err)
	}
	select {
	case <-p.Done():
		t.Errorf("a process that is not in the books was killed: %+v", p.Exit())
	default:
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
}

func TestBooksThatCannotBeKeptAreAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenRecords(file); err == nil {
		t.Error("a file was taken for a folder")
	}
	var output kept
	p, err := Run(shell("exec sleep 600"), spawner(t).Start, output.store, &Records{dir: "/does/not/exist"})
	if err == nil {
		t.Error("an unrecorded process gives no error")
	}
	<-p.Done()
}
