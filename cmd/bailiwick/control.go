package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bailiwick-dev/bailiwick/sync/backup"
	"github.com/bailiwick-dev/bailiwick/sync/control"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// controlSocket is where the operator has a pod of a region make its control socket.
const controlSocket = "/tmp/control.sock"

// origin is where the store of the replica is.
func (f *syncFlags) origin() backup.Origin { return backup.Origin{Cloud: f.cloud, Region: f.region} }

// control is what the replica serves on its control socket.
func (r *replica) control() control.Options {
	return control.Options{Backup: r.backup, Logger: r.logger}
}

// backup writes a backup of the embedded store.
func (r *replica) backup(ctx context.Context, to io.Writer) error {
	if r.flags.shared() {
		return fmt.Errorf("backup: %w: it is in PostgreSQL, use pg_dump or pg_basebackup", store.ErrNoCheckpoint)
	}
	return backup.Store{Engine: r.engine, Dir: r.flags.dataDir, Origin: r.flags.origin()}.Take(ctx, to, time.Now())
}

func newBackupCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Write a backup of the embedded store to standard output, while it serves",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := control.NewClient(path)
			defer c.Close()
			return c.Backup(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&path, "control-socket", controlSocket, "the control socket of the running server")
	return cmd
}
