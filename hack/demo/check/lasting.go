package check

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
)

// replica is a pod with how often its container was started again.
type replica struct {
	uid      types.UID
	restarts int32
}

func (c *checker) replicaOf(ctx context.Context, region cast.Object) (replica, error) {
	pod, err := kube.Get[corev1.Pod](ctx, c.Cluster, kube.Pods, region.Namespace, region.Name+"-sync-0")
	if err != nil {
		return replica{}, err
	}
	r := replica{uid: pod.UID}
	for i := range pod.Status.ContainerStatuses {
		r.restarts += pod.Status.ContainerStatuses[i].RestartCount
	}
	return r, nil
}

// certificateOf returns the serial number of the certificate in the Secret of a region.
func (c *checker) certificateOf(ctx context.Context, region cast.Object) (string, error) {
	secret, err := kube.Get[corev1.Secret](ctx, c.Cluster, kube.Secrets, region.Namespace, region.Name+"-sync-tls")
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(secret.Data[corev1.TLSCertKey])
	if block == nil {
		return "", fmt.Errorf("secret %q of region %q holds no certificate", secret.Name, region)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("secret %q of region %q: %w", secret.Name, region, err)
	}
	return certificate.SerialNumber.String(), nil
}

// rotation asserts that a new certificate comes into use while every request succeeds
// and the pod goes on as it is.
func (c *checker) rotation(ctx context.Context) (string, error) {
	r := resident(cast.Virginia)
	token, err := c.Token(ctx, r.Cloud, r.Email, false)
	if err != nil {
		return "", err
	}
	pod, err := c.replicaOf(ctx, r.Region)
	if err != nil {
		return "", err
	}
	old, err := c.certificateOf(ctx, r.Region)
	if err != nil {
		return "", err
	}
	const hours = 24
	if err := c.SetCertificateLifetime(ctx, r.Region, hours); err != nil {
		return "", err
	}
	requests, err := c.untilServed(ctx, r, token, old)
	if err != nil {
		return "", err
	}
	if err := c.SetCertificateLifetime(ctx, r.Region, 0); err != nil {
		return "", err
	}
	if now, err := c.replicaOf(ctx, r.Region); err != nil || now != pod {
		return "", fmt.Errorf("the pod changed from %+v to %+v: %w", pod, now, errOrNone(err))
	}
	return fmt.Sprintf("the new one is served after %d requests of which none failed, without a restart", requests), nil
}

// untilServed sends requests, each over a connection of its own, until the certificate
// is the new one of the Secret. Each of them must succeed.
func (c *checker) untilServed(ctx context.Context, r cast.Resident, token, old string) (requests int, err error) {
	plain, err := c.HTTP()
	if err != nil {
		return 0, err
	}
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the new certificate is not served"))
	defer cancel()
	for {
		requests++
		served, err := servedBy(ctx, plain, c.Region(r.Region).URL+sessionPath, token)
		if err != nil {
			return requests, fmt.Errorf("request %d: %w", requests, err)
		}
		if served != old {
			if now, err := c.certificateOf(ctx, r.Region); err != nil || now != served {
				return requests, fmt.Errorf("certificate %s is served and %s is in the Secret: %w", served, now, errOrNone(err))
			}
			return requests, nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return requests, err
		}
	}
}

// servedBy sends one request and returns the serial number of the server's certificate.
func servedBy(ctx context.Context, plain *http.Client, url, token string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := plain.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is read from it
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %q", response.Status)
	}
	return response.TLS.PeerCertificates[0].SerialNumber.String(), nil
}

// retention asserts that a region which was deleted and declared again has its mail.
func (c *checker) retention(ctx context.Context) (string, error) {
	r := resident(cast.Virginia)
	before, err := c.replicaOf(ctx, r.Region)
	if err != nil {
		return "", err
	}
	if err := c.Rebuild(ctx, r.Tenant, r.Region); err != nil {
		return "", err
	}
	after, err := c.replicaOf(ctx, r.Region)
	if err != nil {
		return "", err
	}
	if after.uid == before.uid {
		return "", fmt.Errorf("region %q still has the pod of before", r.Region)
	}
	count, err := c.mailbox(ctx, r)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("region %s was deleted and made anew, and has its %d messages", r.Region, count), nil
}
