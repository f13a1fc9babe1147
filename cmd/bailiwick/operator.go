package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bailiwick-dev/bailiwick/controllers/operator"
)

// operatorFlags are the flags of the operator.
type operatorFlags struct {
	leaderElect       bool
	namespace         string
	image             string
	metricsAddress    string
	healthAddress     string
	kubeconfig        string
	serviceAccountDir string
	deniedRanges      []string
	logLevel          slog.Level
}

func newOperatorCommand() *cobra.Command {
	f := &operatorFlags{}
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Reconcile clouds, regions and tenants",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger := logr.FromSlogHandler(newLogger(cmd, f.logLevel).Handler())
			log.SetLogger(logger)
			klog.SetLogger(logger)
			options, err := f.options(logger)
			if err != nil {
				return err
			}
			return operator.Run(cmd.Context(), options)
		},
	}
	set := cmd.Flags()
	set.BoolVar(&f.leaderElect, "leader-elect", true, "let one of several replicas work at a time")
	set.StringVar(&f.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the operator's own namespace; $POD_NAMESPACE by default")
	set.StringVar(&f.image, "image", os.Getenv("BAILIWICK_IMAGE"), "the image of the sync pods; $BAILIWICK_IMAGE by default")
	set.StringVar(&f.metricsAddress, "metrics-address", ":8080", "the address for metrics over plain HTTP; 0 turns them off")
	set.StringVar(&f.healthAddress, "health-address", ":8081", "the address of /healthz and /readyz")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "a kubeconfig file, outside of a cluster")
	set.StringVar(&f.serviceAccountDir, "service-account-dir", "/var/run/secrets/kubernetes.io/serviceaccount", "the folder of the service account's token and ca.crt, within a cluster")
	set.StringSliceVar(&f.deniedRanges, "denied-ranges", nil, "CIDR prefixes of the cluster itself (pods, services, nodes), from which nothing that a user names is fetched")
	set.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "the lowest level that is logged: DEBUG, INFO, WARN or ERROR")
	return cmd
}

func (f *operatorFlags) options(logger logr.Logger) (operator.Options, error) {
	config, err := operator.Config(f.kubeconfig, f.serviceAccountDir)
	if err != nil {
		return operator.Options{}, err
	}
	denied := make([]netip.Prefix, 0, len(f.deniedRanges))
	for _, raw := range f.deniedRanges {
		prefix, err := netip.ParsePrefix(raw)
		if err != nil {
			return operator.Options{}, fmt.Errorf("--denied-ranges: %q is not a CIDR prefix such as 10.96.0.0/12", raw)
		}
		denied = append(denied, prefix)
	}
	return operator.Options{
		Config:         config,
		Namespace:      f.namespace,
		Image:          f.image,
		LeaderElection: f.leaderElect,
		MetricsAddress: f.metricsAddress,
		HealthAddress:  f.healthAddress,
		DeniedRanges:   denied,
		Log:            logger,
	}, nil
}
