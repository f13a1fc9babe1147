package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"

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
		n, err := fill(r, buf)
		if n > 0 {
			if err := o.writeChunk(ctx, name, count, buf[:n]); err != nil {
				return 0, 0, err
			}
			size += int64(n)
			count++
		}
		switch {
		case errors.Is(err, io.EOF):
			return size, count, nil
		case err != nil:
			return 0, 0, err
		}
	}
}

// fill reads until the buffer is full. io.EOF says that the content ended, any other error, io.ErrUnexpectedEOF too, that
// it broke off.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var more int
		more, err = r.Read(buf[n:])
		n += more
	}
	return n, err
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
	var size int64
	err := o.do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT size FROM bailiwick_object WHERE name = $1", name).Scan(&size)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("object %q: %w", name, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open object: %w", err)
	}
	return store.NewWindow(size, chunkSize, func(number int64) ([]byte, error) { return o.readChunk(ctx, name, number) }), nil
}

func (o objects) readChunk(ctx context.Context, name string, number int64) (chunk []byte, err error) {
	err = o.do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT data FROM bailiwick_chunk WHERE name = $1 AND number = $2", name, number).Scan(&chunk)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read object %q: %w", name, err)
	}
	return chunk, nil
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
