package journal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"
)

const (
	pollInterval = 100 * time.Millisecond
	tailChunk    = 64 << 10
)

// Options choose what is read of a log.
type Options struct {
	// Tail is the number of last lines to begin with; a negative number means all.
	Tail int
	// Limit is the number of bytes after which reading ends; zero means no limit.
	Limit int
	// Since leaves out lines that are older; the zero time leaves out none.
	Since time.Time
	// Timestamps puts the time of each line before it.
	Timestamps bool
	// Follow waits for more until the log is closed.
	Follow bool
}

// Read returns the chosen part of the log at path. With Follow, reading ends when done is closed and all is read,
// or with ctx. Close the reader when it is not needed any more.
func Read(ctx context.Context, path string, done <-chan struct{}, options Options) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if options.Tail >= 0 {
		if err := seekTail(file, options.Tail); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	go func() {
		defer func() { _ = file.Close() }()
		var source io.Reader = file
		if options.Follow {
			source = &following{ctx: ctx, file: file, done: done}
		}
		writer.CloseWithError(render(writer, source, options))
	}()
	return &cancelling{PipeReader: reader, cancel: cancel}, nil
}

type cancelling struct {
	*io.PipeReader

	cancel context.CancelFunc
}

// Close ends the reading, even while it waits for more.
func (c *cancelling) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}

// following reads a file that grows until done is closed.
type following struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to be cancelled
	file *os.File
	done <-chan struct{}
}

func (f *following) Read(p []byte) (int, error) {
	for {
		finished := closed(f.done) // looked at before the read, so that the last lines are not lost
		n, err := f.file.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) || finished {
			return n, err
		}
		select {
		case <-f.ctx.Done():
			return 0, io.EOF
		case <-f.done:
		case <-time.After(pollInterval):
		}
	}
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// render turns stored lines into what the container wrote. A line without its end is still being written.
func render(out io.Writer, source io.Reader, options Options) error {
	lines := bufio.NewReader(source)
	rest, begin := options.Limit, true
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, ends := decode(line, begin && options.Timestamps, options.Since)
		begin = ends || text == nil
		if options.Limit > 0 {
			text = text[:min(len(text), rest)]
			rest -= len(text)
		}
		if _, err := out.Write(text); err != nil || (options.Limit > 0 && rest == 0) {
			return err
		}
	}
}

// decode reads one stored line. It returns nil for a line that is malformed or too old.
func decode(line []byte, timestamps bool, since time.Time) (text []byte, ends bool) {
	parts := bytes.SplitN(line, []byte{' '}, 4)
	if len(parts) < 4 {
		return nil, true
	}
	written, err := time.Parse(time.RFC3339Nano, string(parts[0]))
	if err != nil || written.Before(since) {
		return nil, true
	}
	if timestamps {
		text = append(append(text, parts[0]...), ' ')
	}
	ends = string(parts[2]) == "F"
	content := parts[3]
	if !ends {
		content = content[:len(content)-1]
	}
	return append(text, content...), ends
}

// seekTail moves to the beginning of the last lines of a file.
func seekTail(file *os.File, lines int) error {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || lines == 0 {
		return err
	}
	buffer := make([]byte, tailChunk)
	for end > 0 {
		start := max(0, end-tailChunk)
		chunk := buffer[:end-start]
		if _, err := file.ReadAt(chunk, start); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i, c := range slices.Backward(chunk) {
			if c != '\n' {
				continue
			}
			if lines--; lines < 0 {
				_, err := file.Seek(start+int64(i)+1, io.SeekStart)
				return err
			}
		}
		end = start
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}
