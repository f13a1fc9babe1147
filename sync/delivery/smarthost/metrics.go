package smarthost

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// outcomeNames are the values of a label.
var outcomeNames = map[delivery.Outcome]string{
	delivery.Relayed: "relayed", delivery.Deferred: "deferred", delivery.Failed: "failed",
}

type metrics struct {
	recipients  *prometheus.CounterVec
	connections *prometheus.CounterVec
	duration    prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_smarthost_recipients_total",
			Help: "Recipients of messages that were sent through the smart host, by outcome: relayed, deferred or failed.",
		}, []string{"outcome"}),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_smarthost_connections_total",
			Help: "Connections to the smart host, by result: opened, reused or failed.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bailiwick_sync_smarthost_send_duration_seconds",
			Help:    "Time to send one message through the smart host.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 300, 900},
		}),
	}
	for _, c := range []prometheus.Collector{m.recipients, m.connections, m.duration} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
