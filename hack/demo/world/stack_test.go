package world

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestUnwindUndoesLastToFirstAlsoAfterAFailure(t *testing.T) {
	t.Parallel()
	var s stack
	var undone []string
	broken := errors.New("stuck")
	for _, name := range []string{"first", "second", "third"} {
		s.push(name, func(context.Context) error {
			undone = append(undone, name)
			if name == "second" {
				return broken
			}
			return nil
		})
	}
	err := s.unwind(t.Context())
	if !errors.Is(err, broken) || err.Error() != "stop second: stuck" {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"third", "second", "first"}, undone); diff != "" {
		t.Error(diff)
	}
	if err := s.unwind(t.Context()); err != nil || len(undone) != 3 {
		t.Errorf("a second unwind did something: %v, %v", undone, err)
	}
}

func TestListenAddressIsWhatTheBalancerTook(t *testing.T) {
	t.Parallel()
	port := []corev1.ServicePort{{Port: 443}}
	cases := map[string]struct {
		ports   []corev1.ServicePort
		ingress []corev1.LoadBalancerIngress
		want    string
	}{
		"the service's port": {port, []corev1.LoadBalancerIngress{{IP: "127.67.0.2"}}, "127.67.0.2:443"},
		"another port":       {port, []corev1.LoadBalancerIngress{{IP: "127.67.0.2", Ports: []corev1.PortStatus{{Port: 8443}}}}, "127.67.0.2:8443"},
		"no address":         {port, nil, ""},
		"a name only":        {port, []corev1.LoadBalancerIngress{{Hostname: "x"}}, ""},
		"no port":            {nil, []corev1.LoadBalancerIngress{{IP: "127.67.0.2"}}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := &corev1.Service{
				Spec:   corev1.ServiceSpec{Ports: c.ports},
				Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: c.ingress}},
			}
			got, err := listenAddress(service)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
