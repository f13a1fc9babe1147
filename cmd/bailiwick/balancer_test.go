package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// balancer gives the connections of clients to replicas in turn, as a Service does: new
// ones only to replicas that say that they are ready.
type balancer struct {
	url    string
	client *http.Client

	mu       sync.Mutex
	replicas []*endpoint
	turn     int
}

// endpoint is a replica, by its URL.
type endpoint struct {
	url         string
	ready       bool
	connections int
}

// newBalancer serves until the test ends. The client asks replicas whether they are ready.
func newBalancer(t *testing.T, client *http.Client) *balancer {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{url: "https://" + listener.Addr().String(), client: client}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { b.probe(ctx) })
	parts.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			parts.Go(func() { b.carry(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		parts.Wait()
	})
	return b
}

// probe asks all replicas over and over.
func (b *balancer) probe(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		replicas := append([]*endpoint(nil), b.replicas...)
		b.mu.Unlock()
		for _, e := range replicas {
			ready := b.isReady(ctx, e.url)
			b.mu.Lock()
			e.ready = ready
			b.mu.Unlock()
		}
	}
}

func (b *balancer) isReady(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (b *balancer) add(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = append(b.replicas, &endpoint{url: url})
}

func (b *balancer) sendsTo(url string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.replicas {
		if e.url == url {
			return e.ready
		}
	}
	return false
}

// connections is how many connections a replica was given.
func (b *balancer) connections(url string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.replicas {
		if e.url == url {
			return e.connections
		}
	}
	return 0
}

// next is the replica whose turn it is, by its address; empty when none is ready.
func (b *balancer) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.replicas {
		b.turn++
		if e := b.replicas[b.turn%len(b.replicas)]; e.ready {
			e.connections++
			return strings.TrimPrefix(e.url, "https://")
		}
	}
	return ""
}

// carry brings a connection to a replica. When either side has sent all, the other is told.
func (b *balancer) carry(ctx context.Context, client net.Conn) {
	defer client.Close()
	var dialer net.Dialer
	replica, err := dialer.DialContext(ctx, "tcp", b.next())
	if err != nil {
		return
	}
	defer replica.Close()
	defer context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = replica.Close()
	})()
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, replica}, {replica, client}} {
		ways.Go(func() {
			_, err := io.Copy(way[0], way[1])
			if half, ok := way[0].(*net.TCPConn); ok && err == nil {
				_ = half.CloseWrite()
				return
			}
			_ = client.Close()
			_ = replica.Close()
		})
	}
	ways.Wait()
}
