package inbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// peers counts connections.
type peers struct {
	total, each int

	mu   sync.Mutex
	all  int
	open map[netip.Prefix]int
}

func newPeers(total, each int) *peers {
	return &peers{total: total, each: each, open: map[netip.Prefix]int{}}
}

// enter counts a new connection of a peer, or says why it may not stay.
func (p *peers) enter(peer netip.Addr) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch key := peerKey(peer); {
	case p.all >= p.total:
		return &refusal{"connections", "421 4.3.2 too many connections are open, try again later"}
	case p.open[key] >= p.each:
		return &refusal{"peer-connections", "421 4.7.0 too many connections of yours are open, try again later"}
	default:
		p.all++
		p.open[key]++
		return nil
	}
}

func (p *peers) leave(peer netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := peerKey(peer)
	p.all--
	if p.open[key]--; p.open[key] == 0 {
		delete(p.open, key)
	}
}

// peerKey is what counts as one peer: whoever has an IPv6 address has 2⁶⁴ of them.
func peerKey(peer netip.Addr) netip.Prefix {
	bits := peer.BitLen()
	if peer.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(peer, bits).Masked()
}

func within(networks []netip.Prefix, peer netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(peer) })
}

// refusePeer says why a peer cannot become admitted, whatever it shows. The network of a peer is taken from the
// connection: no header or protocol can claim another.
func (s *Server) refusePeer(peer netip.Addr) *refusal {
	if s.options.ClientCAs != nil || s.allowed(peer) {
		return nil
	}
	return &refusal{"network", "554 5.7.1 mail is not taken from your network"}
}

func (s *Server) allowed(peer netip.Addr) bool {
	return within(s.options.AllowedNetworks, peer) || s.plaintext(peer)
}

func (s *Server) plaintext(peer netip.Addr) bool { return within(s.options.PlaintextNetworks, peer) }

// tlsConfig asks for a client certificate and judges it later, so that a peer with a wrong one gets a reply that it
// can read instead of an alert. The handshake still proves that the peer holds the key.
func (s *Server) tlsConfig() *tls.Config {
	config := &tls.Config{MinVersion: s.options.MinimumTLS, GetCertificate: s.options.Certificate}
	if s.options.ClientCAs != nil {
		config.ClientAuth = tls.RequestClientCert
		config.ClientCAs = s.options.ClientCAs
	}
	return config
}

// certified tells whether the certificate of a peer admits it.
func (s *Server) certified(state *tls.ConnectionState) error {
	if s.options.ClientCAs == nil || len(state.PeerCertificates) == 0 {
		return errors.New("no client certificate was shown")
	}
	leaf := state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: s.options.ClientCAs, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return errors.New("the client certificate does not verify")
	}
	if len(s.options.ClientNames) > 0 && !slices.ContainsFunc(s.options.ClientNames, func(name string) bool { return carries(leaf, name) }) {
		return errors.New("the client certificate carries none of the names that are admitted")
	}
	return nil
}

// carries compares whole names: a wildcard in a certificate is no name of a peer.
func carries(leaf *x509.Certificate, name string) bool {
	for _, uri := range leaf.URIs {
		if uri.String() == name {
			return true
		}
	}
	return slices.ContainsFunc(leaf.DNSNames, func(have string) bool { return strings.EqualFold(have, name) })
}
