package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/delivery/inbound"
	"github.com/bailiwick-dev/bailiwick/sync/delivery/smarthost"
	"github.com/bailiwick-dev/bailiwick/sync/server"
)

// How the smart host is reached.
const (
	smartHostStartTLS = "starttls"
	smartHostImplicit = "implicit"
)

// deliveryFlags are the flags of the ways by which mail enters and leaves the region.
type deliveryFlags struct {
	smtpPort, lmtpPort                uint16
	clientCA                          string
	clientNames                       []string
	allowedNetworks, plainNetworks    []string
	maxMessageSize                    int64
	smartHost, smartHostTLS           string
	smartHostCA, smartHostCertificate string
}

func (f *deliveryFlags) register(cmd *cobra.Command) {
	set := cmd.Flags()
	set.Uint16Var(&f.smtpPort, "smtp-port", 0, "the port on which mail comes in by SMTP; 0 turns it off")
	set.Uint16Var(&f.lmtpPort, "lmtp-port", 0, "the port on which mail comes in by LMTP; 0 turns it off")
	set.StringVar(&f.clientCA, "smtp-client-ca", "", "a file of certificates: servers whose client certificate they issued may bring mail")
	set.StringSliceVar(&f.clientNames, "smtp-client-names", nil, "the DNS names or URIs that client certificates must carry one of; empty means any")
	set.StringSliceVar(&f.allowedNetworks, "smtp-allowed-networks", nil, "the networks from which servers may bring mail, by TLS")
	set.StringSliceVar(&f.plainNetworks, "smtp-plaintext-networks", nil, "the networks from which servers may bring mail, also without TLS")
	set.Int64Var(&f.maxMessageSize, "smtp-max-message-size", inbound.DefaultLimits().MessageSize, "the largest message that comes in, in octets")
	set.StringVar(&f.smartHost, "smarthost", "", "the server that takes mail out of the region, as host:port; empty keeps mail in")
	set.StringVar(&f.smartHostTLS, "smarthost-tls", smartHostStartTLS, "how the smart host begins TLS: starttls or implicit")
	set.StringVar(&f.smartHostCA, "smarthost-ca", "", "a file of certificates that verify the smart host; empty means those of the system")
	set.StringVar(&f.smartHostCertificate, "smarthost-cert-dir", "", "the folder of tls.crt and tls.key that are shown to the smart host, which are read again when they change")
}

// validate checks the flags. An error names the flag and the remedy.
func (f *deliveryFlags) validate() error {
	if _, err := prefixes("smtp-allowed-networks", f.allowedNetworks); err != nil {
		return err
	}
	plain, err := prefixes("smtp-plaintext-networks", f.plainNetworks)
	if err != nil {
		return err
	}
	for _, network := range plain {
		// Whoever can reach the port could bring mail, and whoever is on the way could read it.
		if network.Bits() == 0 {
			return fmt.Errorf("--smtp-plaintext-networks: %q is the whole internet, name the networks that are trusted without TLS", network)
		}
	}
	if err := f.validateInbound(); err != nil {
		return err
	}
	return f.validateSmartHost()
}

func (f *deliveryFlags) validateInbound() error {
	admits := f.clientCA != "" || len(f.allowedNetworks) > 0 || len(f.plainNetworks) > 0
	if !f.takesMail() {
		if admits {
			return errors.New("--smtp-port or --lmtp-port: missing, give one of them, or nothing takes the mail that is allowed")
		}
		return nil
	}
	switch {
	case !admits:
		return errors.New("--smtp-client-ca, --smtp-allowed-networks or --smtp-plaintext-networks: missing, give one of them, or no server may bring mail")
	case len(f.clientNames) > 0 && f.clientCA == "":
		return errors.New("--smtp-client-ca: missing, give the file of those who issue the certificates of --smtp-client-names")
	case f.smtpPort == f.lmtpPort:
		return fmt.Errorf("--lmtp-port: %d is that of --smtp-port too, give another one", f.lmtpPort)
	case f.maxMessageSize <= 0:
		return fmt.Errorf("--smtp-max-message-size: %d is not a number of octets above 0", f.maxMessageSize)
	}
	return nil
}

func (f *deliveryFlags) validateSmartHost() error {
	if f.smartHost == "" {
		if f.smartHostCA != "" || f.smartHostCertificate != "" {
			return errors.New("--smarthost: missing, give the server for which --smarthost-ca and --smarthost-cert-dir are")
		}
		return nil
	}
	if host, port, err := net.SplitHostPort(f.smartHost); err != nil || host == "" || port == "" {
		return fmt.Errorf("--smarthost: %q is not host:port", f.smartHost)
	}
	if f.smartHostTLS != smartHostStartTLS && f.smartHostTLS != smartHostImplicit {
		return fmt.Errorf("--smarthost-tls: %q is not %s or %s", f.smartHostTLS, smartHostStartTLS, smartHostImplicit)
	}
	return nil
}

// takesMail tells whether mail comes in at all.
func (f *deliveryFlags) takesMail() bool { return f.smtpPort != 0 || f.lmtpPort != 0 }

func prefixes(flag string, words []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, word := range words {
		network, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, fmt.Errorf("--%s: %q is not a network such as 192.0.2.0/24", flag, word)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// certificatePool reads a file of certificates. It is read once: a changed file needs a restart.
func certificatePool(flag, path string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("--%s: %q holds no certificate in PEM", flag, path)
	}
	return pool, nil
}

// mailName is the name of the region among mail servers. An address becomes a literal (RFC 5321 section 4.1.3).
func (f *syncFlags) mailName() string {
	address, err := netip.ParseAddr(f.hostname())
	switch {
	case err != nil:
		return f.hostname()
	case address.Is6():
		return "[IPv6:" + address.String() + "]"
	default:
		return "[" + address.String() + "]"
	}
}

// outbound is the way by which mail leaves the region; without a transport there is none.
type outbound struct {
	transport *smarthost.Transport
	// certificates are what is shown to the smart host; nil shows none.
	certificates *server.Certificates
}

// way is the transport that the mailboxes send by; nil when mail stays in.
func (o *outbound) way() delivery.Transport {
	if o.transport == nil {
		return nil
	}
	return o.transport
}

// openOutbound makes the way to the smart host. It connects to nothing yet.
func (r *replica) openOutbound(ctx context.Context) (*outbound, error) {
	f := &r.flags.delivery
	out := &outbound{}
	if f.smartHost == "" {
		return out, nil
	}
	o := smarthost.Options{
		Address: f.smartHost, ImplicitTLS: f.smartHostTLS == smartHostImplicit, Hostname: r.flags.mailName(), Logger: r.logger, Metrics: r.registry,
	}
	var err error
	if o.MinimumTLS, err = r.flags.tlsVersion(); err != nil {
		return nil, err
	}
	if f.smartHostCA != "" {
		if o.RootCAs, err = certificatePool("smarthost-ca", f.smartHostCA); err != nil {
			return nil, err
		}
	}
	if f.smartHostCertificate != "" {
		// The metrics of certificates are those of the serving one; these are told of in the log.
		if out.certificates, err = server.NewCertificates(ctx, server.CertificateOptions{Dir: f.smartHostCertificate, Logger: r.logger}); err != nil {
			return nil, err
		}
		if err := out.certificates.Ready(ctx); err != nil {
			return nil, fmt.Errorf("--smarthost-cert-dir: %w", err)
		}
		o.Certificate = out.certificates.GetCertificate
	}
	if out.transport, err = smarthost.New(o); err != nil {
		return nil, fmt.Errorf("--smarthost: %w", err)
	}
	return out, nil
}

// run keeps what is shown to the smart host up to date until the context ends, then closes idle connections.
func (o *outbound) run(ctx context.Context) error {
	if o.transport != nil {
		defer o.transport.Close()
	}
	if o.certificates != nil {
		return o.certificates.Watch(ctx)
	}
	<-ctx.Done()
	return nil
}

// incoming is the way by which mail enters the region.
type incoming struct {
	server *inbound.Server
	ports  []mailPort
}

// mailPort is an open port for mail.
type mailPort struct {
	protocol inbound.Protocol
	listener net.Listener
}

// openIncoming opens the ports for mail into mailboxes, as far as they are on.
func (r *replica) openIncoming(ctx context.Context, boxes delivery.Mailboxes) (*incoming, error) {
	f := &r.flags.delivery
	in := &incoming{}
	if !f.takesMail() {
		return in, nil
	}
	options, err := r.inboundOptions(boxes)
	if err != nil {
		return nil, err
	}
	if in.server, err = inbound.New(options); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	for _, port := range []struct {
		flag     string
		number   uint16
		protocol inbound.Protocol
	}{{"smtp-port", f.smtpPort, inbound.SMTP}, {"lmtp-port", f.lmtpPort, inbound.LMTP}} {
		if port.number == 0 {
			continue
		}
		listener, err := config.Listen(ctx, "tcp", r.endpoint(port.number))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--address, --%s: %w", port.flag, err), in.close())
		}
		in.ports = append(in.ports, mailPort{protocol: port.protocol, listener: listener})
	}
	return in, nil
}

func (r *replica) inboundOptions(boxes delivery.Mailboxes) (o inbound.Options, err error) {
	f := &r.flags.delivery
	o = inbound.Options{
		Hostname: r.flags.mailName(), Mailboxes: boxes, Certificate: r.certs.GetCertificate, ClientNames: f.clientNames,
		Limits: inbound.Limits{MessageSize: f.maxMessageSize}, ShutdownTimeout: r.flags.drainTimeout, Logger: r.logger, Metrics: r.registry,
	}
	if f.clientCA != "" {
		if o.ClientCAs, err = certificatePool("smtp-client-ca", f.clientCA); err != nil {
			return o, err
		}
	}
	if o.AllowedNetworks, err = prefixes("smtp-allowed-networks", f.allowedNetworks); err != nil {
		return o, err
	}
	if o.PlaintextNetworks, err = prefixes("smtp-plaintext-networks", f.plainNetworks); err != nil {
		return o, err
	}
	o.MinimumTLS, err = r.flags.tlsVersion()
	return o, err
}

// serve takes mail in on one port until the context ends and its transactions are done. It begins when it is known
// which domains are homed here: before, all mail would be refused for good. Who connects earlier waits.
func (in *incoming) serve(ctx context.Context, port mailPort, known <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return port.listener.Close()
	case <-known:
		return in.server.Serve(ctx, port.listener, port.protocol)
	}
}

func (in *incoming) close() error {
	var err error
	for _, port := range in.ports {
		err = errors.Join(err, port.listener.Close())
	}
	return err
}
