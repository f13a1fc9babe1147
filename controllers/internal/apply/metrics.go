package apply

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// writes counts the requests of all Writers of the process.
var writes = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "bailiwick_writes_total",
	Help: "Requests to the API server that write, by controller, verb and kind. It does not move while nothing changes.",
}, []string{"controller", "verb", "kind"})

// drifts counts corrections of what others changed.
var drifts = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "bailiwick_drift_corrections_total",
	Help: "Objects that somebody else changed and the operator put right, by controller and kind.",
}, []string{"controller", "kind"})

func init() {
	metrics.Registry.MustRegister(writes, drifts)
}
