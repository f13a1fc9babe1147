package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// storedUnit is to what the size of the store is rounded up in reports: a report is
// written when it changes, and single messages are no reason.
const storedUnit = 1 << 20

// count tells what the replica holds, for its reports.
func (r *replica) count(ctx context.Context) (tenants.Counts, error) {
	stored, err := r.stored(ctx)
	if err != nil {
		return tenants.Counts{}, err
	}
	accounts, err := r.mail.Count(ctx)
	if err != nil {
		return tenants.Counts{}, err
	}
	counts := tenants.Counts{
		BytesStored: (stored + storedUnit - 1) / storedUnit * storedUnit,
		Tenants:     make(map[string]tenants.TenantCounts, len(accounts)),
	}
	for tenant, mailboxes := range accounts {
		counts.Tenants[tenant] = tenants.TenantCounts{Mailboxes: mailboxes}
	}
	return counts, nil
}

// stored is how many octets the store takes.
func (r *replica) stored(ctx context.Context) (int64, error) {
	if r.flags.shared() {
		return store.Size(ctx, r.engine)
	}
	return folderSize(ctx, r.flags.dataDir)
}

// folderSize adds up the sizes of the files below a folder. Files that go away
// meanwhile do not count.
func folderSize(ctx context.Context, dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err := errors.Join(ignoreMissing(err), ctx.Err()); err != nil {
			return err
		}
		if entry == nil || !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		total += info.Size()
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("size of %q: %w", dir, err)
	}
	return total, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
