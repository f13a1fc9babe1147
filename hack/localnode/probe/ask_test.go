package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target is a server that answers by path, and the container that it stands for.
func target(t *testing.T, tls bool) (*Target, int32) {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/redirect":
			http.Redirect(w, r, "http://does.not.exist.invalid/", http.StatusFound)
		case r.URL.Path == "/header" && r.Host == "wanted.example" && r.Header.Get("X-Check") == "1":
		case r.URL.Path == "/ok" && r.URL.RawQuery == "deep=1":
		default:
			http.Error(w, "no such thing", http.StatusNotFound)
		}
	})
	server := httptest.NewUnstartedServer(handler)
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	return &Target{Address: at.Hostname(), Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(port)}}}, int32(port)
}

func get(path string, port intstr.IntOrString, scheme corev1.URIScheme) *corev1.ProbeHandler {
	return &corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: port, Scheme: scheme}}
}

func TestAnswersOverHTTPAndHTTPSAreJudgedByTheirStatus(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		scheme := corev1.URISchemeHTTP
		if secure {
			scheme = corev1.URISchemeHTTPS
		}
		container, number := target(t, secure)
		for path, good := range map[string]bool{"/ok?deep=1": true, "ok?deep=1": true, "/redirect": true, "/none": false, "/header": false} {
			for _, port := range []intstr.IntOrString{intstr.FromString("web"), intstr.FromInt32(number), intstr.FromString(strconv.Itoa(int(number)))} {
				err := container.Ask(t.Context(), get(path, port, scheme))
				if (err == nil) != good {
					t.Errorf("%s %s: got %v", scheme, path, err)
				}
			}
		}
		withHeaders := get("/header", intstr.FromString("web"), scheme)
		withHeaders.HTTPGet.HTTPHeaders = []corev1.HTTPHeader{{Name: "Host", Value: "wanted.example"}, {Name: "X-Check", Value: "1"}}
		if err := container.Ask(t.Context(), withHeaders); err != nil {
			t.Errorf("headers: %v", err)
		}
		if err := container.HTTPGet(t.Context(), withHeaders.HTTPGet); err != nil {
			t.Errorf("hook: %v", err)
		}
	}
}

func TestBadProbesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	container, _ := target(t, false)
	for want, handler := range map[string]*corev1.ProbeHandler{
		"status 404: no such thing": get("/none", intstr.FromString("web"), ""),
		"no such port":              get("/", intstr.FromString("metrics"), ""),
		`path "/%zz"`:               get("/%zz", intstr.FromString("web"), ""),
		"not supported":             {GRPC: &corev1.GRPCAction{Port: 1}},
		"no handler":                {},
	} {
		if err := container.Ask(t.Context(), handler); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestTCPProbeNeedsAListener(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	container := &Target{Address: "127.0.0.1"}
	handler := &corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(listener.Addr().(*net.TCPAddr).Port)}}
	if err := container.Ask(t.Context(), handler); err != nil {
		t.Errorf("with a listener: %v", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := container.Ask(t.Context(), handler); err == nil {
		t.Error("without a listener there is no error")
	}
	handler.TCPSocket.Port = intstr.FromInt32(70000)
	if err := container.Ask(t.Context(), handler); err == nil {
		t.Error("port 70000 gives no error")
	}
}

func TestExecProbeQuotesCommandAndOutput(t *testing.T) {
	t.Parallel()
	container := &Target{Exec: func(_ context.Context, command []string) (string, error) {
		if command[0] == "true" {
			return "", nil
		}
		return "it broke\n", errors.New("exit code 1")
	}}
	if err := container.Ask(t.Context(), &corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}); err != nil {
		t.Error(err)
	}
	err := container.Ask(t.Context(), &corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"check", "it"}}})
	if err == nil || err.Error() != `exec "check it": exit code 1: it broke` {
		t.Errorf("got %v", err)
	}
}

func TestAskingEndsWhenTheObserverOrTheContextSaysSo(t *testing.T) {
	t.Parallel()
	calls := 0
	container := &Target{Exec: func(context.Context, []string) (string, error) { return "", nil }}
	p := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}, PeriodSeconds: 1}
	container.Run(t.Context(), p, true, func(outcome Outcome, changed bool, err error) bool {
		calls++
		if outcome != Passed || changed != (calls == 1) || err != nil {
			t.Errorf("call %d: %v %v %v", calls, outcome, changed, err)
		}
		return calls < 2
	})
	if calls != 2 {
		t.Errorf("observed %d answers, want 2", calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	container.Exec = func(context.Context, []string) (string, error) { cancel(); return "", errors.New("late") }
	container.Run(ctx, p, true, func(Outcome, bool, error) bool {
		t.Error("an answer after the end of the context was observed")
		return true
	})
}

func TestEagerAskingCountsTheFirstGoodAnswerBeforeThePeriodEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	container := &Target{Address: "127.0.0.1"}
	p := &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(listener.Addr().(*net.TCPAddr).Port)}},
		PeriodSeconds: 3600,
	}
	var outcomes []Outcome
	container.Run(t.Context(), p, true, func(outcome Outcome, _ bool, _ error) bool {
		outcomes = append(outcomes, outcome)
		if len(outcomes) == 1 {
			again, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = again.Close() })
		}
		return outcome != Passed
	})
	if len(outcomes) != 2 || outcomes[0] != Undecided || outcomes[1] != Passed {
		t.Errorf("got %v", outcomes)
	}
}
