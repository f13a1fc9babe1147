package store

import (
	"fmt"
	"io"
	"sync"
)

// window is an Object that is read in chunks from elsewhere. It keeps the chunk that was read last, because readers
// ask for less at a time.
type window struct {
	size, chunk int64
	fetch       func(number int64) ([]byte, error)

	mu     sync.Mutex
	number int64
	data   []byte
}

// NewWindow returns an object of a size in octets that fetch reads: chunk by chunk, each of the same length but for
// the last.
func NewWindow(size, chunk int64, fetch func(number int64) ([]byte, error)) Object {
	return &window{size: size, chunk: chunk, fetch: fetch, number: -1}
}

// Size is the length in octets.
func (w *window) Size() int64 { return w.size }

// Close forgets the chunk.
func (w *window) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number, w.data = -1, nil
	return nil
}

// ReadAt reads a range.
func (w *window) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read object: %w: negative offset", ErrInvalid)
	}
	for n < len(p) {
		if off >= w.size {
			return n, io.EOF
		}
		m, err := w.copy(p[n:], off)
		if err != nil {
			return n, err
		}
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// copy copies what one chunk has from an offset on.
func (w *window) copy(p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number := off / w.chunk; number != w.number {
		data, err := w.fetch(number)
		if err != nil {
			return 0, err
		}
		if want := min(w.chunk, w.size-number*w.chunk); int64(len(data)) != want {
			return 0, fmt.Errorf("read object: %w: chunk %d has %d octets, not %d", io.ErrUnexpectedEOF, number, len(data), want)
		}
		w.number, w.data = number, data
	}
	return copy(p, w.data[off%w.chunk:]), nil
}
