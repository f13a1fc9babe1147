package check

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mailserver"
)

// Addresses of servers: one in the network that may bring mail to Paris by config/samples,
// and one outside of it.
var (
	relayAddress    = net.IPv4(127, 88, 0, 25)
	strangerAddress = net.IPv4(127, 88, 9, 25)
)

// mailFromOutside asserts that a server in the network that the region allows brings mail
// by LMTP, which the recipient is told of and reads, and that another server cannot.
func (c *checker) mailFromOutside(ctx context.Context) (string, error) {
	r := resident(cast.Paris)
	relay, err := c.relay(ctx, r.Region)
	if err != nil {
		return "", err
	}
	token, err := c.Token(ctx, r.Cloud, r.Email, r.Device)
	if err != nil {
		return "", err
	}
	plain, err := c.HTTP()
	if err != nil {
		return "", err
	}
	account, err := mailclient.Open(plain, c.Region(r.Home).URL, token)
	if err != nil {
		return "", err
	}
	defer account.Close()
	if err := bring(ctx, relay, account, r.Email); err != nil {
		return "", err
	}
	relay.Source = strangerAddress
	_, err = relay.Deliver(ctx, "", r.Email, []byte("Subject: refused\r\n\r\n"))
	var refused *textproto.Error
	if !errors.As(err, &refused) || refused.Code != 554 {
		return "", fmt.Errorf("a server at %s: %w, want a refusal with 554", strangerAddress, errOrAccepted(err))
	}
	return fmt.Sprintf("LMTP with TLS from %s is in the inbox of %s, and from %s it is refused: %s", relayAddress, r.Email, strangerAddress, refused), nil
}

// relay is the server in front of a region. It connects to the Service by its cluster IP,
// which is an address of this machine.
func (c *checker) relay(ctx context.Context, region cast.Object) (mailserver.Server, error) {
	service, err := kube.Get[corev1.Service](ctx, c.Cluster, kube.Services, region.Namespace, region.Name+"-sync-lmtp")
	if err != nil {
		return mailserver.Server{}, err
	}
	if service.Spec.Type != corev1.ServiceTypeClusterIP || len(service.Spec.Ports) != 1 {
		return mailserver.Server{}, fmt.Errorf("service %q: %s with %d ports, want ClusterIP with one", service.Name, service.Spec.Type, len(service.Spec.Ports))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.Region(region).CA) {
		return mailserver.Server{}, fmt.Errorf("region %q: the CA bundle holds no certificate", region)
	}
	return mailserver.Server{
		Source: relayAddress, Roots: roots, Name: service.Name + "." + service.Namespace + ".svc",
		Target: net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port))),
	}, nil
}

// bring asserts that a letter that a server brings is told of, found and read. It is gone
// afterwards.
func bring(ctx context.Context, relay mailserver.Server, recipient *mailclient.Account, address string) error {
	word := strings.ToLower(rand.Text())
	want := mailclient.Letter{From: "iris@elsewhere.example", To: address, Subject: "From outside", Text: "Brought by LMTP, " + word + ".\n"}
	message := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n\r\n%s", want.From, want.To, want.Subject, strings.ReplaceAll(want.Text, "\n", "\r\n"))
	err := recipient.AwaitDelivery(ctx, func(ctx context.Context) error {
		_, err := relay.Deliver(ctx, want.From, want.To, []byte(message))
		return err
	})
	if err != nil {
		return err
	}
	found, err := recipient.Search(ctx, word)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("search: %d messages found, want 1", len(found))
	}
	got, err := recipient.Read(ctx, found[0])
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("the letter changed on its way:\n%s", diff)
	}
	return recipient.Discard(ctx, found...)
}

func errOrAccepted(err error) error {
	if err == nil {
		return errors.New("the mail was taken")
	}
	return err
}
