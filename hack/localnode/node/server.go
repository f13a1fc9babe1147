package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/pod"
)

const headerTimeout = 10 * time.Second

// listen opens the node's API on its own address.
func (n *node) listen(ctx context.Context) (net.Listener, error) {
	authorities, err := n.authorities()
	if err != nil {
		return nil, err
	}
	config, err := serving(n.config.Name, n.address, authorities)
	if err != nil {
		return nil, err
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(n.address, n.config.Port).String())
	if err != nil {
		return nil, fmt.Errorf("API of the node: %w", err)
	}
	return &tlsListener{Listener: listener, config: config}, nil
}

// authorities are those whose clients may use the node's API: the chosen file, or those of the control plane.
func (n *node) authorities() ([]byte, error) {
	if n.config.ClientCA != "" {
		return os.ReadFile(n.config.ClientCA)
	}
	config := rest.CopyConfig(n.rest)
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, fmt.Errorf("authorities of the control plane: %w", err)
	}
	return config.CAData, nil
}

// tlsListener is a TLS listener that still tells its TCP address.
type tlsListener struct {
	net.Listener

	config *tls.Config
}

// Accept returns a connection whose handshake is made with its first use.
func (l *tlsListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(conn, l.config), nil
}

// handler is the part of a kubelet's API that kubectl needs.
func (n *node) handler() http.Handler {
	config := api.PodHandlerConfig{
		GetContainerLogs: n.provider.Logs,
		RunInContainer:   n.provider.Exec,
		GetPods:          n.provider.GetPods,
		GetPodsFromKubernetes: func(context.Context) ([]*corev1.Pod, error) {
			return n.host.Pods.List(labels.Everything())
		},
	}
	pods := api.PodHandler(config, true)
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok")) // a client that went away needs no answer
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tailLines") == "0" {
			r = r.WithContext(pod.WithNoTail(r.Context()))
		}
		pods.ServeHTTP(w, r)
	})
	return mux
}

// serve serves the API until ctx ends.
func (n *node) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: n.handler(), ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(n.config.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("API of the node: %w", err)
	}
	return nil
}
