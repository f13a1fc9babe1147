// Package journal keeps what a container writes, line by line with its time, in the text format that container
// runtimes share: time, stream, F (full line) or P (part of a line), content.
package journal

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLine is the length after which a line without an end is stored in parts.
const maxLine = 16 << 10

// File is the log of one run of a container.
type File struct {
	mu     sync.Mutex
	file   *os.File
	now    func() time.Time
	closed chan struct{}
}

// Create makes a new log at path, and its folder.
func Create(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // logs are for every reader of the node
		return nil, err
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &File{file: file, now: time.Now, closed: make(chan struct{})}, nil
}

// Done is closed when nothing more is written.
func (f *File) Done() <-chan struct{} { return f.closed }

// Close ends the log. It is called once, after all streams were copied.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer close(f.closed)
	return f.file.Close()
}

// Copy stores everything that is read from a stream until its end. name is stdout or stderr.
func (f *File) Copy(name string, stream io.Reader) error {
	buffer := make([]byte, 0, maxLine)
	for {
		n, err := stream.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		rest, storeErr := f.store(name, buffer, err != nil)
		if storeErr != nil {
			return storeErr
		}
		buffer = append(buffer[:0], rest...)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// store writes the whole lines in data, and what is left too when it is the last or fills the buffer.
func (f *File) store(name string, data []byte, last bool) (rest []byte, err error) {
	for {
		line, after, found := bytes.Cut(data, []byte{'\n'})
		if !found {
			break
		}
		if err := f.line(name, "F", line); err != nil {
			return nil, err
		}
		data = after
	}
	if len(data) > 0 && (last || len(data) == maxLine) {
		return nil, f.line(name, "P", data)
	}
	return data, nil
}

func (f *File) line(name, tag string, content []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := f.now().UTC().Format(time.RFC3339Nano) + " " + name + " " + tag + " "
	_, err := f.file.Write(append(append([]byte(head), content...), '\n'))
	return err
}
