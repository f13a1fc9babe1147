package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// chunkSize is how many octets of an object one row holds.
const chunkSize = 256 << 10

// objects keeps large values in chunks. An object exists when its row does, which is written last.
type objects struct{ engine *Engine }

// Write keeps what r yields under name. No transaction is open while it waits for r: chunks are written one by one,
// and the last commit checks that all of them are there before it makes them durable.
func (o objects) Write(ctx context.Context, name string, r io.Reader) (size int64, err error) {
	if err := o.engine.usable(ctx); err != nil {
		return 0, err
	}
	size, count, err := o.writeChunks(ctx, name, r)
	if err == nil {
		err = o.publish(ctx, name, size, count)
	}
	if err != nil {
		return 0, fmt.Errorf("write object: %w", errors.Join(err, o.Remove(context.WithoutCancel(ctx), name)))
	}
	return size, nil
}

func (o objects) writeChunks(ctx context.Context, name string, r io.Reader) (size int64, count int, err error) {
	buf := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := o.writeChunk(ctx, name, count, buf[:n]); err != nil {
				return 0, 0, err
			}
			size += int64(n)
			count++
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return size, count, nil
		case err != nil:
			return 0, 0, err
		}
	}
}

// writeChunk writes one chunk without waiting for the disk.
func (o objects) writeChunk(ctx context.Context, name string, number int, data []byte) error {
	batch := &pgx.Batch{}
	batch.Queue("SELECT set_config('synchronous_commit', 'off', true)")
	batch.Queue("INSERT INTO bailiwick_chunk (name, number, data) VALUES ($1, $2, $3)", name, number, data)
	return o.do(ctx, func(ctx context.Context, c *pgx.Conn) error { return c.SendBatch(ctx, batch).Close() })
}

// publish makes an object of its chunks. A crash of the server may have lost some, which is found here.
func (o objects) publish(ctx context.Context, name string, size int64, count int) error {
	return o.do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, `INSERT INTO bailiwick_object (name, size)
SELECT $1, $2::bigint FROM bailiwick_chunk WHERE name = $1 HAVING count(*) = $3 AND coalesce(sum(length(data)), 0) = $2::bigint`, name, size, count)
		if err == nil && tag.RowsAffected() != 1 {
			err = fmt.Errorf("%w, %w: a part of it is gone: it was removed meanwhile, or the server crashed", store.ErrConflict, store.ErrUnavailable)
		}
		return err
	})
}

// Open returns the object, or store.ErrNotFound. It is read for as long as the context lasts.
func (o objects) Open(ctx context.Context, name string) (store.Object, error) {
	obj := &object{ctx: ctx, objects: o, name: name, number: -1}
	err := o.do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT size FROM bailiwick_object WHERE name = $1", name).Scan(&obj.size)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("object %q: %w", name, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open object: %w", err)
	}
	return obj, nil
}

// Remove deletes the object if it exists, and what of it was written if it does not yet.
func (o objects) Remove(ctx context.Context, name string) error {
	batch := &pgx.Batch{}
	batch.Queue("DELETE FROM bailiwick_object WHERE name = $1", name)
	batch.Queue("DELETE FROM bailiwick_chunk WHERE name = $1", name)
	err := o.do(ctx, func(ctx context.Context, c *pgx.Conn) error { return c.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("remove object: %w", err)
	}
	return nil
}

// do runs statements on a connection.
func (o objects) do(ctx context.Context, run func(context.Context, *pgx.Conn) error) error {
	if err := o.engine.usable(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	return o.engine.classify(o.engine.work.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return run(ctx, c.Conn()) }))
}

// object is an open object. It keeps the chunk that was read last, because readers ask for less at a time.
type object struct {
	ctx     context.Context //nolint:containedctx // io.ReaderAt has no place for it
	objects objects
	name    string
	size    int64

	mu     sync.Mutex
	number int64
	chunk  []byte
}

// Size is the length in octets.
func (o *object) Size() int64 { return o.size }

// Close forgets the chunk.
func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.number, o.chunk = -1, nil
	return nil
}

// ReadAt reads a range.
func (o *object) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read object: %w: negative offset", store.ErrInvalid)
	}
	for n < len(p) {
		if off >= o.size {
			return n, io.EOF
		}
		m, err := o.readChunk(p[n:], off)
		if err != nil {
			return n, err
		}
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// readChunk copies what one chunk has from an offset on.
func (o *object) readChunk(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	number := off / chunkSize
	if number != o.number {
		var chunk []byte
		err := o.objects.do(o.ctx, func(ctx context.Context, c *pgx.Conn) error {
			return c.QueryRow(ctx, "SELECT data FROM bailiwick_chunk WHERE name = $1 AND number = $2", o.name, number).Scan(&chunk)
		})
		if errors.Is(err, pgx.ErrNoRows) {
			err = store.ErrNotFound
		}
		if err != nil {
			return 0, fmt.Errorf("read object %q: %w", o.name, err)
		}
		o.number, o.chunk = number, chunk
	}
	within := off % chunkSize
	if within >= int64(len(o.chunk)) {
		return 0, fmt.Errorf("read object %q: %w", o.name, io.ErrUnexpectedEOF)
	}
	return copy(p, o.chunk[within:]), nil
}
