package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's metrics. Labels have few values: no accounts, tenants or
// paths.
type metrics struct {
	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	calls           *prometheus.CounterVec
	callDuration    *prometheus.HistogramVec
	streams         prometheus.Gauge
	events          *prometheus.CounterVec
	sockets         prometheus.Gauge
	messages        *prometheus.CounterVec
	limited         *prometheus.CounterVec
}

// Names of the resources that stay open.
const (
	resourceEvents    = "eventsource"
	resourceWebSocket = "websocket"
)

var durationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_http_requests_total",
			Help: "HTTP requests answered, by resource, HTTP method and status.",
		}, []string{"resource", "method", "status"}),
		requestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bailiwick_sync_http_request_duration_seconds",
			Help:    "Time from the headers of a request to the end of its answer, by resource; event streams and WebSockets are left out.",
			Buckets: durationBuckets,
		}, []string{"resource"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_method_calls_total",
			Help: "JMAP method calls, by method and outcome: ok, or the type of the error.",
		}, []string{"method", "outcome"}),
		callDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bailiwick_sync_method_call_duration_seconds",
			Help:    "Time of JMAP method calls, by method.",
			Buckets: durationBuckets,
		}, []string{"method"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bailiwick_sync_push_streams",
			Help: "Event streams that are open.",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_push_events_total",
			Help: "Events sent on event streams, by event.",
		}, []string{"event"}),
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bailiwick_sync_websocket_connections",
			Help: "WebSocket connections that are open.",
		}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_websocket_messages_total",
			Help: "Messages over WebSockets that were understood or sent, by their type (RFC 8887).",
		}, []string{"type"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_limited_total",
			Help: "Requests and connections refused because of a limit, by limit.",
		}, []string{"limit"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.requestDuration, m.calls, m.callDuration, m.streams, m.events, m.sockets, m.messages, m.limited} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// observeWaiting has the requests told of that wait for their turn.
func observeWaiting(registry prometheus.Registerer, waiting func() int) error {
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bailiwick_sync_requests_waiting",
		Help: "API requests and uploads that wait for their turn.",
	}, func() float64 { return float64(waiting()) })
	if err := registry.Register(gauge); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

func (m *metrics) observeRequest(resource, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(resource, methodLabel(method), strconv.Itoa(status)).Inc()
	if resource != resourceEvents && resource != resourceWebSocket {
		m.requestDuration.WithLabelValues(resource).Observe(took.Seconds())
	}
}

func (m *metrics) observeCall(method, outcome string, took time.Duration) {
	m.calls.WithLabelValues(method, outcome).Inc()
	m.callDuration.WithLabelValues(method).Observe(took.Seconds())
}

// methodLabel bounds the values of a label that clients choose.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
