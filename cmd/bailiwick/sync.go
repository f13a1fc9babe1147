package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// How long a replica drains by itself: both fit into the 30 seconds that Kubernetes gives
// a pod to end.
const (
	defaultDrainDelay   = 5 * time.Second
	defaultDrainTimeout = 22 * time.Second
)

// syncFlags are the flags of the sync server.
type syncFlags struct {
	storageFlags

	region             string
	cloud              string
	geography          string
	url                string
	address            string
	port               uint16
	metricsPort        uint16
	tlsDir             string
	minimumTLS         string
	documentsDir       string
	documentsNamespace string
	serviceAccountDir  string
	replica            string
	controlSocket      string
	logLevel           slog.Level
	pushKeyGeneration  uint64
	pushToLoopback     bool
	requestSlots       uint16
	addressConnections uint16
	drainDelay         time.Duration
	drainTimeout       time.Duration
	delivery           deliveryFlags
}

func newSyncCommand() *cobra.Command { return (&syncFlags{}).command() }

// command is the command whose flags are kept in f.
func (f *syncFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Serve the mailboxes of one region",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return err
			}
			return runReplica(cmd.Context(), f, newLogger(cmd, f.logLevel))
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.region, "region", "", "the MailboxRegion that is served, as namespace/name")
	set.StringVar(&f.cloud, "cloud", "", "the SovereignCloud that the region is in")
	set.StringVar(&f.geography, "geography", "", "the geography code of the region")
	set.StringVar(&f.url, "url", "", "the https URL by which clients reach the region, without a path")
	set.StringVar(&f.address, "address", "", "the IP address to listen on")
	set.Uint16Var(&f.port, "port", 8443, "the port for HTTPS")
	set.Uint16Var(&f.metricsPort, "metrics-port", 8080, "the port for metrics over plain HTTP; 0 turns them off")
	set.StringVar(&f.tlsDir, "tls-dir", "", "the folder of tls.crt and tls.key, which are read again when they change")
	f.register(cmd)
	set.StringVar(&f.minimumTLS, "minimum-tls", "1.2", "the lowest version of TLS: 1.2 or 1.3")
	set.StringVar(&f.documentsDir, "documents-dir", "", "a folder of tenant documents, outside Kubernetes")
	set.StringVar(&f.documentsNamespace, "documents-namespace", "", "the namespace of the ConfigMaps with tenant documents")
	set.StringVar(&f.serviceAccountDir, "service-account-dir", "/var/run/secrets/kubernetes.io/serviceaccount", "the folder of the service account's token and ca.crt")
	set.StringVar(&f.replica, "replica", "", "the name of this pod, under which it reports")
	set.Uint64Var(&f.pushKeyGeneration, "push-key-generation", 1, "raise it to have the key replaced by which the region identifies itself to push services; the old key serves its subscriptions for 7 more days")
	set.BoolVar(&f.pushToLoopback, "development-push-to-loopback", false, "let push subscriptions name https and http URLs on this machine; for development alone")
	set.Uint16Var(&f.requestSlots, "request-slots", 0, "how many requests and uploads are worked on at a time; 0 means four for each processor")
	set.Uint16Var(&f.addressConnections, "connections-per-address", 0, "how many connections one client address may have open; 0 means any number, right behind a load balancer that hides the addresses of clients")
	set.DurationVar(&f.drainDelay, "drain-delay", defaultDrainDelay, "how long the replica serves on after it was told to end and is no longer ready, so that load balancers notice")
	set.DurationVar(&f.drainTimeout, "drain-timeout", defaultDrainTimeout, "how long requests may take after that to finish")
	set.StringVar(&f.controlSocket, "control-socket", "", "the path of a Unix socket, for this user alone, on which archives and backups are asked for; empty means none")
	set.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "the lowest level that is logged: DEBUG, INFO, WARN or ERROR")
	f.delivery.register(cmd)
	cmd.AddCommand(newExportCommand(), newImportCommand(), newDiscardImportCommand(), newBackupCommand(), newVerifyCommand(), newRestoreCommand(), newBeginEpochCommand())
	return cmd
}

// validate checks the flags. An error names the flag and the remedy.
func (f *syncFlags) validate() error {
	required := []struct{ name, value string }{
		{"region", f.region},
		{"cloud", f.cloud},
		{"geography", f.geography},
		{"url", f.url},
		{"address", f.address},
		{"tls-dir", f.tlsDir},
	}
	for _, flag := range required {
		if flag.value == "" {
			return fmt.Errorf("--%s: missing, give it a value", flag.name)
		}
	}
	if err := f.validatePlace(); err != nil {
		return err
	}
	if _, err := f.tlsVersion(); err != nil {
		return err
	}
	if f.drainDelay < 0 {
		return fmt.Errorf("--drain-delay: %s is less than nothing, give 0s or more", f.drainDelay)
	}
	if f.drainTimeout <= 0 {
		return fmt.Errorf("--drain-timeout: %s gives requests no time, give more than 0s", f.drainTimeout)
	}
	if err := f.delivery.validate(); err != nil {
		return err
	}
	if err := f.storageFlags.validate(f.replica); err != nil {
		return err
	}
	return f.validateDocuments()
}

// validatePlace checks the flags that tell which region this is and where it listens.
func (f *syncFlags) validatePlace() error {
	if namespace, name, ok := strings.Cut(f.region, "/"); !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("--region: %q is not namespace/name", f.region)
	}
	if u, err := url.Parse(f.url); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" {
		return fmt.Errorf("--url: %q is not an https URL without a path", f.url)
	}
	if _, err := netip.ParseAddr(f.address); err != nil {
		return fmt.Errorf("--address: %q is not an IP address", f.address)
	}
	return nil
}

func (f *syncFlags) validateDocuments() error {
	switch {
	case f.documentsDir == "" && f.documentsNamespace == "":
		return errors.New("--documents-dir or --documents-namespace: give one of them")
	case f.documentsDir != "" && f.documentsNamespace != "":
		return errors.New("--documents-dir and --documents-namespace: give only one of them")
	case f.documentsNamespace != "" && f.replica == "":
		return errors.New("--replica: missing, give the name of the pod")
	}
	return nil
}

func (f *syncFlags) tlsVersion() (uint16, error) {
	switch f.minimumTLS {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	default:
		return 0, fmt.Errorf("--minimum-tls: %q is not 1.2 or 1.3", f.minimumTLS)
	}
}

// regionName is the name of the MailboxRegion without its namespace.
func (f *syncFlags) regionName() string {
	_, name, _ := strings.Cut(f.region, "/")
	return name
}

// hostname is the name that clients connect to.
func (f *syncFlags) hostname() string {
	u, err := url.Parse(f.url)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
