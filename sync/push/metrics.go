package push

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a subscription is gone.
const (
	reasonClient       = "client"
	reasonReplaced     = "replaced"
	reasonExpired      = "expired"
	reasonGone         = "gone"
	reasonRefused      = "refused"
	reasonUnverifiable = "unverifiable"
	reasonRetired      = "key-retired"
)

// metrics are those of push to clients that are not connected. Labels have few values:
// no accounts and no hosts.
type metrics struct {
	messages      *prometheus.CounterVec
	latency       prometheus.Histogram
	subscriptions prometheus.Gauge
	destroyed     *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_push_messages_total",
			Help: "Messages to push subscriptions, by their type (RFC 8620) and outcome: accepted, gone, later or refused.",
		}, []string{"type", "outcome"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bailiwick_sync_push_latency_seconds",
			Help:    "Time from a change, as the replica heard of it, until the push service accepted the message that tells of it.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200},
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bailiwick_sync_push_subscriptions",
			Help: "Push subscriptions that the replica follows.",
		}),
		destroyed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_push_subscriptions_destroyed_total",
			Help: "Push subscriptions that were destroyed, by reason: client, replaced, expired, gone, refused, unverifiable or key-retired.",
		}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.messages, m.latency, m.subscriptions, m.destroyed} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of push: %w", err)
		}
	}
	return m, nil
}
