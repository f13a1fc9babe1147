package inbound

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the metrics of inbound mail. Labels have few values: no peers, tenants or addresses.
type metrics struct {
	connections *prometheus.GaugeVec
	sessions    *prometheus.CounterVec
	messages    *prometheus.CounterVec
	recipients  *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	size        *prometheus.HistogramVec
	duration    *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bailiwick_sync_inbound_connections",
			Help: "Connections that bring mail and are open, by protocol.",
		}, []string{"protocol"}),
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_inbound_sessions_total",
			Help: "Connections that brought mail and ended, by protocol and security: tls or plain.",
		}, []string{"protocol", "security"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_inbound_messages_total",
			Help: "Messages that were sent to the region, by protocol and outcome: delivered, deferred, failed, split (recipients fared differently), refused or aborted.",
		}, []string{"protocol", "outcome"}),
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_inbound_recipients_total",
			Help: "Recipients of messages that were sent to the region, by protocol and outcome: delivered, deferred or failed.",
		}, []string{"protocol", "outcome"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_inbound_refusals_total",
			Help: "Connections, commands and messages that were refused, by protocol and reason.",
		}, []string{"protocol", "reason"}),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bailiwick_sync_inbound_message_size_bytes",
			Help:    "Size of messages that arrived whole, by protocol.",
			Buckets: prometheus.ExponentialBuckets(1<<10, 4, 9),
		}, []string{"protocol"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bailiwick_sync_inbound_delivery_duration_seconds",
			Help:    "Time from the end of a message until it was durable or refused, by protocol.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 300},
		}, []string{"protocol"}),
	}
	for _, c := range []prometheus.Collector{m.connections, m.sessions, m.messages, m.recipients, m.refusals, m.size, m.duration} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
