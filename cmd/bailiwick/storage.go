package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/backup"
	"github.com/bailiwick-dev/bailiwick/sync/mail"
	"github.com/bailiwick-dev/bailiwick/sync/push"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/cells"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres"
	"github.com/bailiwick-dev/bailiwick/sync/store/s3"
)

// storageFlags are the flags that tell where the mailboxes are kept: in a folder, or in
// PostgreSQL with large blobs in a bucket or not.
type storageFlags struct {
	dataDir           string
	postgresDSNDir    string
	s3Endpoint        string
	s3Bucket          string
	s3CredentialsFile string
}

func (f *storageFlags) register(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&f.dataDir, "data-dir", "", "the folder of the embedded store, for a single replica")
	set.StringVar(&f.postgresDSNDir, "postgres-dsn-dir", "", "the folder of PostgreSQL DSNs, one file for each cell with the name of the cell, for any number of replicas")
	set.StringVar(&f.s3Endpoint, "s3-endpoint", "", "the https URL of S3-compatible storage for large blobs")
	set.StringVar(&f.s3Bucket, "s3-bucket", "", "the bucket for large blobs")
	set.StringVar(&f.s3CredentialsFile, "s3-credentials-file", "", `the file of the bucket's keys, as JSON: {"accessKey": "…", "secretKey": "…"}, optionally with "sessionToken" and "region"`)
}

// validate checks the flags. An error names the flag and the remedy.
func (f *storageFlags) validate(replica string) error {
	switch {
	case f.dataDir == "" && f.postgresDSNDir == "":
		return errors.New("--data-dir or --postgres-dsn-dir: give one of them")
	case f.dataDir != "" && f.postgresDSNDir != "":
		return errors.New("--data-dir and --postgres-dsn-dir: give only one of them")
	case f.shared() && replica == "":
		return errors.New("--replica: missing, give the name of the pod, by which it writes")
	}
	return f.validateBucket()
}

func (f *storageFlags) validateBucket() error {
	bucket := []struct{ name, value string }{
		{"s3-endpoint", f.s3Endpoint}, {"s3-bucket", f.s3Bucket}, {"s3-credentials-file", f.s3CredentialsFile},
	}
	given := 0
	for _, flag := range bucket {
		if flag.value != "" {
			given++
		}
	}
	if given == 0 {
		return nil
	}
	for _, flag := range bucket {
		if flag.value == "" {
			return fmt.Errorf("--%s: missing, give all of --s3-endpoint, --s3-bucket and --s3-credentials-file, or none", flag.name)
		}
	}
	if err := s3.CheckEndpoint(f.s3Endpoint); err != nil {
		return fmt.Errorf("--s3-endpoint: %w", err)
	}
	return nil
}

// shared says whether other replicas use the store too.
func (f *storageFlags) shared() bool { return f.postgresDSNDir != "" }

// owner is the name by which the replica writes to a store that others use too.
func (f *syncFlags) owner() string {
	if !f.shared() {
		return ""
	}
	return f.replica
}

// open opens the store, and gives what tells how each part of it is.
func (f *storageFlags) open(ctx context.Context) (engine store.Engine, p parts, err error) {
	p = parts{}
	var objects store.Objects
	if f.s3Endpoint != "" {
		bucket, err := s3.Open(ctx, s3.Options{Endpoint: f.s3Endpoint, Bucket: f.s3Bucket, CredentialsFile: f.s3CredentialsFile})
		if err != nil {
			return nil, nil, fmt.Errorf("--s3-endpoint, --s3-bucket, --s3-credentials-file: %w", &partError{tenantdoc.CellBlobs, err})
		}
		objects, p[tenantdoc.CellBlobs] = bucket, bucket.Ready
	}
	if f.shared() {
		engine, err = f.openDatabases(ctx, objects, p)
	} else {
		engine, err = f.openFolder(ctx, objects, p)
	}
	if err != nil {
		return nil, nil, err
	}
	return engine, p, nil
}

// openFolder opens the embedded store.
func (f *storageFlags) openFolder(ctx context.Context, objects store.Objects, p parts) (store.Engine, error) {
	if err := backup.Prepare(f.dataDir); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	engine, err := pebble.Open(ctx, f.dataDir, pebble.Options{})
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	p[tenantdoc.CellEmbedded] = func(ctx context.Context) error { return store.Ready(ctx, engine) }
	if objects != nil {
		return store.WithObjects(engine, objects), nil
	}
	return engine, nil
}

// openDatabases connects to the databases.
func (f *storageFlags) openDatabases(ctx context.Context, objects store.Objects, p parts) (store.Engine, error) {
	dsns, err := readDSNs(f.postgresDSNDir)
	if err != nil {
		return nil, fmt.Errorf("--postgres-dsn-dir: %w", err)
	}
	engine, err := openCells(ctx, dsns, objects, p)
	if err != nil {
		return nil, fmt.Errorf("--postgres-dsn-dir: %w", err)
	}
	return engine, nil
}

// readDSNs reads the DSN of each cell. Names that begin with two dots are those by which
// Kubernetes swaps a mounted Secret.
func readDSNs(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	dsns := map[string]string{}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, "..") {
			continue
		}
		if err := cells.CheckName(name); err != nil {
			return nil, err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		dsns[name] = strings.TrimSpace(string(content))
		if err := postgres.CheckDSN(dsns[name]); err != nil {
			return nil, fmt.Errorf("cell %w", &partError{name, err})
		}
	}
	if len(dsns) == 0 {
		return nil, fmt.Errorf("%q has no file: put the DSN of each database into a file with the name of the cell", dir)
	}
	return dsns, nil
}

// openCells connects to every cell. One alone is used as it is.
func openCells(ctx context.Context, dsns map[string]string, objects store.Objects, p parts) (engine store.Engine, err error) {
	engines := map[string]store.Engine{}
	defer func() {
		if err != nil {
			for _, cell := range engines {
				err = errors.Join(err, cell.Close())
			}
		}
	}()
	for name, dsn := range dsns {
		cell, err := postgres.Open(ctx, dsn, postgres.Options{})
		if err != nil {
			return nil, fmt.Errorf("cell %w", &partError{name, err})
		}
		engines[name] = cell
		p[name] = func(ctx context.Context) error { return store.Ready(ctx, cell) }
		if objects != nil {
			engines[name] = store.WithObjects(cell, objects)
		}
	}
	if len(engines) > 1 {
		return cells.Open(ctx, engines, append(mail.SpreadOwners(), push.SpreadOwners()...)...)
	}
	for name, cell := range engines {
		engine, err = cells.OpenOne(ctx, name, cell)
	}
	return engine, err
}
