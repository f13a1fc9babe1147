package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bailiwick-dev/bailiwick/sync/backup"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func newVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Verify a backup on standard input",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return verify(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// verify reads a backup and tells what it is of.
func verify(ctx context.Context, from io.Reader, to io.Writer) error {
	h, err := backup.Verify(ctx, from)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "backup of region %q in cloud %q at %s: %d files of %d octets, as they were written\n",
		h.Region, h.Cloud, h.Created.Format(time.RFC3339), h.Files, h.Octets)
	return err
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
