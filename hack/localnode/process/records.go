package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Records are the processes that the node started, kept in a folder so that the next node can kill what is left.
// A nil Records keeps nothing.
type Records struct{ dir string }

// Record is one process in the books.
type Record struct {
	path string

	// Pid is the process and its group.
	Pid int `json:"pid"`
	// Start is when the kernel started the process, in clock ticks after boot: together with the boot it tells a
	// process from a later one with the same number.
	Start uint64 `json:"start"`
	// Boot is the kernel's id of the boot.
	Boot string `json:"boot"`
}

// OpenRecords opens the books in dir and kills every process in them that still runs. It returns how many process
// groups were killed.
func OpenRecords(dir string) (*Records, int, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, 0, err
	}
	records := &Records{dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	killed := 0
	var errs []error
	for _, entry := range entries {
		found, err := kill(filepath.Join(dir, entry.Name()))
		if found {
			killed++
		}
		errs = append(errs, err)
	}
	return records, killed, errors.Join(errs...)
}

// kill kills the group of a recorded process when it is the recorded one, and removes the record.
func kill(path string) (bool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	var record Record
	if err := json.Unmarshal(data, &record); err != nil || record.Pid <= 1 {
		return false, forget(path) // half written when the node was killed; that process died with the node
	}
	found := record.alive()
	if found {
		if err := killGroup(record.Pid); err != nil {
			return false, err
		}
	}
	return found, forget(path)
}

// forget removes a record, unless that was done already.
func forget(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// alive says whether the recorded process or a member of its group runs. A group keeps its number from being used
// again, so a group without its leader is the recorded one when its oldest member is not older than the record.
func (r *Record) alive() bool {
	boot, err := bootID()
	if err != nil || boot != r.Boot {
		return false
	}
	if start, err := startTime(strconv.Itoa(r.Pid)); err == nil {
		return start == r.Start
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	member := false
	for _, entry := range entries {
		fields, err := stat(entry.Name())
		if err != nil || fields[groupField] != strconv.Itoa(r.Pid) {
			continue
		}
		start, err := strconv.ParseUint(fields[startField], 10, 64)
		if err != nil || start < r.Start {
			return false
		}
		member = true
	}
	return member
}

func (r *Records) add(pid int) (*Record, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // a nil record is one that keeps nothing
	}
	start, err := startTime(strconv.Itoa(pid))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // the process has ended already
	}
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	record := &Record{path: filepath.Join(r.dir, strconv.Itoa(pid)+".json"), Pid: pid, Start: start, Boot: boot}
	data, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	return record, os.WriteFile(record.path, data, 0o600)
}

func (r *Record) remove() {
	if r != nil {
		_ = os.Remove(r.path) // a record of a dead process harms nobody
	}
}

// Fields of /proc/PID/stat after the name of the program, see proc(5).
const (
	groupField = 2
	startField = 19
)

// stat returns the fields that follow the program's name, which may contain anything.
func stat(pid string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) <= startField {
		return nil, fmt.Errorf("process %s: the kernel's state of it has only %d fields", pid, len(fields))
	}
	return fields, nil
}

func startTime(pid string) (uint64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(fields[startField], 10, 64)
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}
