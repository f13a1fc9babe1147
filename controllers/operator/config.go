package operator

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config finds the API server: the current context of the kubeconfig file when one
// is named, and else the cluster that the process runs in, with the service account
// token and the CA of the folder. The client sends as fast as the API server
// takes it: API Priority and Fairness is the limit, not the client.
func Config(kubeconfig, serviceAccountFolder string) (*rest.Config, error) {
	config, err := find(kubeconfig, serviceAccountFolder)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.UserAgent = "bailiwick-operator"
	return config, nil
}

func find(kubeconfig, serviceAccountFolder string) (*rest.Config, error) {
	if kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %q: %w", kubeconfig, err)
		}
		return config, nil
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: run in a cluster, or name a kubeconfig with --kubeconfig")
	}
	token := filepath.Join(serviceAccountFolder, corev1.ServiceAccountTokenKey)
	ca := filepath.Join(serviceAccountFolder, corev1.ServiceAccountRootCAKey)
	for _, file := range []string{token, ca} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("service account: %w", err)
		}
	}
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		TLSClientConfig: rest.TLSClientConfig{CAFile: ca},
		BearerTokenFile: token, // read again when it is replaced
	}, nil
}
