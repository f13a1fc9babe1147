package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxBody is how much of a bad answer is quoted.
const maxBody = 1 << 10

// Target is the container that is asked.
type Target struct {
	// Address is the pod's.
	Address string
	// Ports are the container's, for probes that name one.
	Ports []corev1.ContainerPort
	// Exec runs a command beside the container and returns its output; an error means that it failed.
	Exec func(ctx context.Context, command []string) (output string, err error)
}

// Ask asks once. A nil error is a good answer; any other says what was bad. The context bounds the time.
func (t *Target) Ask(ctx context.Context, handler *corev1.ProbeHandler) error {
	switch {
	case handler.HTTPGet != nil:
		return t.httpGet(ctx, handler.HTTPGet)
	case handler.TCPSocket != nil:
		return t.tcpSocket(ctx, handler.TCPSocket)
	case handler.Exec != nil:
		return t.exec(ctx, handler.Exec)
	case handler.GRPC != nil:
		return errors.New("grpc probes are not supported by this node: use httpGet, tcpSocket or exec")
	}
	return errors.New("the probe has no handler that this node supports")
}

// HTTPGet asks over HTTP or HTTPS; it is also what lifecycle hooks use.
func (t *Target) HTTPGet(ctx context.Context, action *corev1.HTTPGetAction) error {
	return t.httpGet(ctx, action)
}

func (t *Target) exec(ctx context.Context, action *corev1.ExecAction) error {
	output, err := t.Exec(ctx, action.Command)
	if err != nil {
		return fmt.Errorf("exec %q: %w: %s", strings.Join(action.Command, " "), err, strings.TrimSpace(output))
	}
	return nil
}

func (t *Target) tcpSocket(ctx context.Context, action *corev1.TCPSocketAction) error {
	address, err := t.endpoint(action.Host, action.Port)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (t *Target) httpGet(ctx context.Context, action *corev1.HTTPGetAction) error {
	address, err := t.endpoint(action.Host, action.Port)
	if err != nil {
		return err
	}
	path, err := url.Parse("/" + strings.TrimPrefix(action.Path, "/"))
	if err != nil {
		return fmt.Errorf("path %q: %w", action.Path, err)
	}
	path.Scheme, path.Host = "http", address
	if action.Scheme == corev1.URISchemeHTTPS {
		path.Scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, path.String(), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/localnode")
	for _, header := range action.HTTPHeaders {
		if strings.EqualFold(header.Name, "host") {
			request.Host = header.Value
			continue
		}
		request.Header.Add(header.Name, header.Value)
	}
	return send(request)
}

// send makes one request over a connection of its own. Redirects count as good, as everything from 200 to 399.
func send(request *http.Request) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // a kubelet does not verify either
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return fmt.Errorf("%s: answer: %w", request.URL, err)
	}
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: status %d: %s", request.URL, response.StatusCode, strings.TrimSpace(string(body)))
	}
	return nil
}

func (t *Target) endpoint(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = t.Address
	}
	number := port.IntValue()
	if port.Type == intstr.String && number == 0 {
		for i := range t.Ports {
			if t.Ports[i].Name == port.StrVal {
				number = int(t.Ports[i].ContainerPort)
			}
		}
	}
	if number <= 0 || number > 65535 {
		return "", fmt.Errorf("port %q: the container has no such port", port.String())
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

// eagerInterval is how often an eager caller asks between the times that the period sets.
const eagerInterval = 200 * time.Millisecond

// Run asks again and again until ctx ends and tells observe each answer and what the answers add up to. When observe
// returns false, it asks no more. With eager, a container that has not passed yet is asked more often over the
// network, and only good answers of those count: nobody waits for a period of ten seconds when a pod is ready after
// one.
func (t *Target) Run(ctx context.Context, probe *corev1.Probe, eager bool, observe func(outcome Outcome, changed bool, err error) bool) {
	tracker := NewTracker(probe)
	period := orDefault(probe.PeriodSeconds, 10*time.Second)
	eager = eager && probe.Exec == nil
	alive := sleep(ctx, orDefault(probe.InitialDelaySeconds, 0))
	for alive {
		answer := t.bounded(ctx, probe)
		if ctx.Err() != nil {
			return
		}
		outcome, changed := tracker.Observe(answer == nil)
		if !observe(outcome, changed, answer) {
			return
		}
		eager = eager && outcome != Passed
		alive = t.pause(ctx, probe, period, eager)
	}
}

// pause waits for the next time to ask; it says whether the context is still alive.
func (t *Target) pause(ctx context.Context, probe *corev1.Probe, period time.Duration, eager bool) bool {
	end := time.Now().Add(period)
	for eager && time.Until(end) > eagerInterval {
		if !sleep(ctx, eagerInterval) {
			return false
		}
		if t.bounded(ctx, probe) == nil {
			return ctx.Err() == nil // the next answer is asked for now, and counts
		}
	}
	return sleep(ctx, time.Until(end))
}

func (t *Target) bounded(ctx context.Context, probe *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, orDefault(probe.TimeoutSeconds, time.Second))
	defer cancel()
	return t.Ask(ctx, &probe.ProbeHandler)
}

func orDefault(value int32, fallback time.Duration) time.Duration {
	if value > 0 {
		return time.Duration(value) * time.Second
	}
	return fallback
}

// sleep waits; it says whether the context is still alive.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
