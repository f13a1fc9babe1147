package conditions

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// scrapeTimeout bounds how long one scrape reads the cache.
const scrapeTimeout = 10 * time.Second

// Source is one kind of whose conditions the Collector tells.
type Source struct {
	// Kind is the value of the label "kind".
	Kind string
	// List gives the conditions of every object of the kind.
	List func(ctx context.Context, r client.Reader) ([][]metav1.Condition, error)
}

// Collector is a Prometheus collector that counts objects by kind, condition,
// status and reason. It reads the cache when it is scraped and keeps nothing.
type Collector struct {
	reader  client.Reader
	sources []Source
	count   *prometheus.Desc
}

// NewCollector makes a Collector that reads from r, which should be a cache.
func NewCollector(r client.Reader, sources ...Source) *Collector {
	return &Collector{
		reader:  r,
		sources: sources,
		count: prometheus.NewDesc("bailiwick_conditions",
			"Objects by kind, condition, status and reason.",
			[]string{"kind", "condition", "status", "reason"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) { ch <- c.count }

// Collect implements prometheus.Collector. A kind that cannot be listed is
// reported as an invalid metric, which makes the scrape say so.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, source := range c.sources {
		objects, err := source.List(ctx, c.reader)
		if err != nil {
			ch <- prometheus.NewInvalidMetric(c.count, err)
			continue
		}
		for labels, n := range tally(objects) {
			ch <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(n), source.Kind, labels.condition, labels.status, labels.reason)
		}
	}
}

type labels struct{ condition, status, reason string }

func tally(objects [][]metav1.Condition) map[labels]int {
	counts := map[labels]int{}
	for _, list := range objects {
		for i := range list {
			counts[labels{list[i].Type, string(list[i].Status), list[i].Reason}]++
		}
	}
	return counts
}
