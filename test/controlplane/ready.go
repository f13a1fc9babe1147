package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// pollInterval is the time between two questions for readiness.
const pollInterval = 50 * time.Millisecond

// newClient makes an HTTP client that trusts the authority and shows the
// certificate.
func newClient(trusted *authority, pair keyPair) (*http.Client, error) {
	certificate, err := tls.X509KeyPair(pair.certificate, pair.key)
	if err != nil {
		return nil, fmt.Errorf("read a client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(trusted.parsed)
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			// Every question makes its own connection: none is left behind.
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		},
	}, nil
}

// await asks until the URL answers 200. It gives up when the process ends or
// the context does, and then says what the last answer and the log were.
func await(ctx context.Context, client *http.Client, url string, p *process) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx, client, url)
		if err == nil {
			return nil
		}
		// The end of the context says nothing about the component.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return p.failure()
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errNotReady) {
				return fmt.Errorf("%s: %w: %w; %s", p.name, errNotReady, last, p.tail())
			}
			return context.Cause(ctx)
		}
	}
}

// errNotReady is the cause of a context that ends because a component took too
// long to become ready.
var errNotReady = errors.New("not ready in time")

// ask returns nil when the URL answers 200.
func ask(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, resp.Status, bytes.TrimSpace(body))
	}
	return nil
}
