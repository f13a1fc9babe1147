package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/backup"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// beginning is how much of a file is looked at to find out what it is: more than one block of the compression.
const beginning = 256 << 10

func newVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Verify an archive of an account, or a backup, on standard input",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return verify(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// verify reads an archive or a backup and tells what it is.
func verify(ctx context.Context, from io.Reader, to io.Writer) error {
	in := bufio.NewReaderSize(from, beginning)
	head, err := in.Peek(beginning)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch firstMember(head) {
	case backup.FirstMember:
		h, err := backup.Verify(ctx, in)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(to, "backup of region %q in cloud %q at %s: %d files of %d octets, as they were written\n",
			h.Region, h.Cloud, h.Created.Format(time.RFC3339), h.Files, h.Octets)
		return err
	case archive.FirstMember:
		m, err := archive.Verify(in)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(to, "archive of account %q of tenant %q, region %q in cloud %q at %s: %d contents of %d octets, as they were written\n",
			m.Account, m.Tenant, m.Region, m.Cloud, m.Created.Format(time.RFC3339), m.Contents(archive.Blobs).Members, m.Contents(archive.Blobs).Octets)
		return err
	default:
		return errors.New("standard input is neither an archive of an account nor a backup, or its beginning is broken: give the file as it was written")
	}
}

// firstMember returns the name with which a compressed archive begins, or nothing.
func firstMember(head []byte) string {
	z, err := zstd.NewReader(bytes.NewReader(head), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return ""
	}
	defer z.Close()
	header, err := tar.NewReader(z).Next()
	if err != nil {
		return ""
	}
	return header.Name
}

func newRestoreCommand() *cobra.Command {
	f := &syncFlags{}
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Make an embedded store from a backup on standard input, while no server runs on it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []struct{ name, value string }{{"data-dir", f.dataDir}, {"cloud", f.cloud}, {"region", f.region}} {
				if flag.value == "" {
					return fmt.Errorf("--%s: missing, give it the value that the server has", flag.name)
				}
			}
			h, err := backup.Restore(cmd.Context(), cmd.InOrStdin(), f.dataDir, f.origin(), time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "region %q is restored as it was at %s: %d files of %d octets\n", h.Region, h.Created.Format(time.RFC3339), h.Files, h.Octets)
			return err
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.dataDir, "data-dir", "", "the folder of the embedded store, which must be empty")
	set.StringVar(&f.region, "region", "", "the MailboxRegion that is restored, as namespace/name")
	set.StringVar(&f.cloud, "cloud", "", "the SovereignCloud that the region is in")
	return cmd
}

func newBeginEpochCommand() *cobra.Command {
	f := &storageFlags{}
	cmd := &cobra.Command{
		Use:   "begin-epoch",
		Short: "Have clients notice that a store was restored by other means, while no server runs on it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate("begin-epoch"); err != nil {
				return err
			}
			return beginEpoch(cmd.Context(), f, cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	return cmd
}

func beginEpoch(ctx context.Context, f *storageFlags, to io.Writer) (err error) {
	if f.dataDir != "" {
		if _, err := os.Stat(filepath.Join(f.dataDir, "kv")); err != nil {
			return fmt.Errorf("--data-dir: there is no store: %w", err)
		}
	}
	engine, _, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	epoch, err := store.BeginEpoch(ctx, engine, time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "epoch %d has begun: start the servers now\n", epoch)
	return err
}
