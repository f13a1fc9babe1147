package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *plugin) newReport() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Pack what those who help need to know into an archive",
		Long: `Pack what those who help need to know into a tar.gz archive of YAML files: the objects
of Bailiwick, the Deployments, StatefulSets and Pods of the operator and of the sync
servers, and the events of all of these. It is that of the whole cluster, or with
--namespace that of one namespace and of the clouds.

Secrets, ConfigMaps, mail and logs are not read. Left out are the values of environment
variables, of annotations that are not Bailiwick's, and of whatever looks like a
password, token, key or connection string, and the local parts of mail addresses;
redactions.yaml in the archive lists each. Look through it before you pass it on.`,
		Example: "  kubectl bailiwick report --file report.tar.gz",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.report(cmd.Context(), file, *p.flags.Namespace)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the archive to write, which must not exist; bailiwick-report-<time>.tar.gz by default")
	return cmd
}

// report writes the archive of a namespace, or of the whole cluster when it is empty.
func (p *plugin) report(ctx context.Context, file, namespace string) error {
	const private = 0o600
	now := p.now().UTC()
	if file == "" {
		file = "bailiwick-report-" + now.Format("20060102T150405Z") + ".tar.gz"
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, private)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("write report: %w: choose another name with --file", err)
	case err != nil:
		return fmt.Errorf("write report: %w", err)
	}
	b := newBundle(out, strings.TrimSuffix(filepath.Base(file), ".tar.gz"), now)
	b.index = index{Created: now.Format(time.RFC3339), Plugin: p.version, Namespace: namespace}
	if err := errors.Join(b.gather(ctx, c, namespace), b.close(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("write report: %w", err), os.Remove(file))
	}
	for _, missing := range b.index.Unread {
		if _, err := fmt.Fprintln(p.ErrOut, "left out:", missing); err != nil {
			return err
		}
	}
	return p.say("%s holds %d objects and %d events; %d values were redacted, see redactions.yaml in it. Look through it before you pass it on.",
		file, b.index.objects(), b.index.Events, len(b.redactor.list))
}
