package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/backup"
	"github.com/bailiwick-dev/bailiwick/sync/control"
	"github.com/bailiwick-dev/bailiwick/sync/mail"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// controlSocket is where the operator has a pod of a region make its control socket.
const controlSocket = "/tmp/control.sock"

// origin is where the store of the replica is, and home where its accounts live.
func (f *syncFlags) origin() backup.Origin { return backup.Origin{Cloud: f.cloud, Region: f.region} }

func (f *syncFlags) home() archive.Origin {
	return archive.Origin{Cloud: f.cloud, Region: f.region, Geography: f.geography}
}

// control is what the replica serves on its control socket.
func (r *replica) control() control.Options {
	return control.Options{Accounts: archives{r}, Backup: r.backup, Logger: r.logger}
}

// backup writes a backup of the embedded store.
func (r *replica) backup(ctx context.Context, to io.Writer) error {
	if r.flags.shared() {
		return fmt.Errorf("backup: %w: it is in PostgreSQL, use pg_dump or pg_basebackup", store.ErrNoCheckpoint)
	}
	return backup.Store{Engine: r.engine, Dir: r.flags.dataDir, Origin: r.flags.origin()}.Take(ctx, to, time.Now())
}

// archives exports and imports the accounts of a replica.
type archives struct{ replica *replica }

// AccountOf returns the account that takes the mail for an address.
func (a archives) AccountOf(ctx context.Context, address string) (string, error) {
	return a.replica.mail.AccountOf(ctx, address)
}

// Export writes an archive of an account.
func (a archives) Export(ctx context.Context, account string, to io.Writer) error {
	return a.replica.mail.Export(ctx, account, a.replica.flags.home(), to)
}

// Import makes an account from an archive.
func (a archives) Import(ctx context.Context, from io.Reader, o control.Import) (*mail.Imported, error) {
	return a.replica.mail.Import(ctx, from, mail.Import{
		Into: a.replica.flags.home(), Lives: func(m *archive.Manifest) error { return a.lives(m, o.Home) }, Send: o.Send,
	})
}

// lives tells why the mailbox of an archive does not live here.
func (a archives) lives(m *archive.Manifest, home bool) error {
	doc := a.replica.documents.ByTenant(m.Tenant)
	switch {
	case doc == nil:
		return fmt.Errorf("tenant %q has no mailboxes in this region: name the region in spec.homeRegion or spec.regions of the Tenant first", m.Tenant)
	case m.Region != a.replica.flags.region && len(doc.Regions) > 1 && !home:
		return fmt.Errorf("tenant %q has mailboxes in several regions: give --home if the home region of this mailbox is this one", m.Tenant)
	}
	return nil
}

// DiscardImport removes what an import that did not end left behind.
func (a archives) DiscardImport(ctx context.Context, account string) error {
	return a.replica.mail.DiscardImport(ctx, account)
}

// controlCommand makes a command that asks a running server.
func controlCommand(cmd *cobra.Command, run func(cmd *cobra.Command, c *control.Client, args []string) error) *cobra.Command {
	var path string
	cmd.Flags().StringVar(&path, "control-socket", controlSocket, "the control socket of the running server")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c := control.NewClient(path)
		defer c.Close()
		return run(cmd, c, args)
	}
	return cmd
}

func newExportCommand() *cobra.Command {
	return controlCommand(&cobra.Command{
		Use:   "export ACCOUNT",
		Short: "Write an archive of an account, by its id or address, to standard output",
		Args:  cobra.ExactArgs(1),
	}, func(cmd *cobra.Command, c *control.Client, args []string) error {
		return c.Export(cmd.Context(), args[0], cmd.OutOrStdout())
	})
}

func newImportCommand() *cobra.Command {
	var o control.Import
	cmd := controlCommand(&cobra.Command{
		Use:   "import",
		Short: "Make an account from an archive on standard input",
		Args:  cobra.NoArgs,
	}, func(cmd *cobra.Command, c *control.Client, _ []string) error {
		out, err := c.Import(cmd.Context(), cmd.InOrStdin(), o)
		if err != nil {
			return err
		}
		return printImport(cmd.OutOrStdout(), out)
	})
	cmd.Flags().BoolVar(&o.Send, "send", false, "send what waited to be sent when the archive was written, which is canceled else: the region that the archive is from sends it")
	cmd.Flags().BoolVar(&o.Home, "home", false, "the archive is of another region, and the home region of the mailbox is this one now")
	return cmd
}

func printImport(to io.Writer, out *mail.Imported) error {
	how := "is imported"
	switch {
	case out.Already:
		how = "was imported from this archive before"
	case out.Resumed > 0:
		how = fmt.Sprintf("is imported, from part %d on", out.Resumed)
	}
	m := out.Manifest
	_, err := fmt.Fprintf(to, "account %q of tenant %q %s: %d contents of %d octets\n", m.Account, m.Tenant, how, m.Contents(archive.Blobs).Members, m.Contents(archive.Blobs).Octets)
	if out.AddressTaken {
		_, more := fmt.Fprintln(to, "another mailbox takes the mail for its address: it takes none until it is signed in to and the address is free")
		err = errors.Join(err, more)
	}
	return err
}

func newDiscardImportCommand() *cobra.Command {
	return controlCommand(&cobra.Command{
		Use:   "discard-import ACCOUNT",
		Short: "Remove what an import that did not end left behind, by the id of the account",
		Args:  cobra.ExactArgs(1),
	}, func(cmd *cobra.Command, c *control.Client, args []string) error {
		return c.DiscardImport(cmd.Context(), args[0])
	})
}

func newBackupCommand() *cobra.Command {
	return controlCommand(&cobra.Command{
		Use:   "backup",
		Short: "Write a backup of the embedded store to standard output, while it serves",
		Args:  cobra.NoArgs,
	}, func(cmd *cobra.Command, c *control.Client, _ []string) error {
		return c.Backup(cmd.Context(), cmd.OutOrStdout())
	})
}
