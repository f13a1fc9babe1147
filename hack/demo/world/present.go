package world

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
)

// inboxRequest reads the subjects of the five newest messages in one round trip, with a
// back-reference (RFC 8620 section 3.7). The primary account is the only one.
const inboxRequest = `{"using":["urn:ietf:params:jmap:core","urn:ietf:params:jmap:mail"],"methodCalls":[` +
	`["Email/query",{"accountId":"%s","sort":[{"property":"receivedAt","isAscending":false}],"limit":5},"q"],` +
	`["Email/get",{"accountId":"%s","properties":["subject","from","receivedAt"],"#ids":{"resultOf":"q","name":"Email/query","path":"/ids"}},"g"]]}`

// CurlLine returns a command that reads the mail of a resident.
func (w *World) CurlLine(ctx context.Context, r cast.Resident) (string, error) {
	account, token, err := w.open(ctx, r)
	if err != nil {
		return "", err
	}
	defer account.Close()
	region := w.Region(r.Region)
	return strings.Join([]string{
		"curl -sS --cacert " + region.CAFile,
		"--connect-to " + region.Host + ":" + httpsPort + ":" + region.Listen,
		"-H 'Authorization: Bearer " + token.AccessToken + "'",
		"-H 'Content-Type: application/json'",
		"-d '" + fmt.Sprintf(inboxRequest, account.ID(), account.ID()) + "'",
		account.APIURL(),
	}, " \\\n  "), nil
}

// Present prints what runs and how to use it.
func (w *World) Present(ctx context.Context, out io.Writer) error {
	table, err := w.Cluster.Kubectl(ctx, "get", "mailboxregions,tenants", "-A")
	if err != nil {
		return err
	}
	refusal, err := w.Cluster.Kubectl(ctx, "get", "tenant", cast.Acme.Name, "-n", cast.Acme.Namespace,
		"-o", `jsonpath={.status.conditions[?(@.type=="RegionsReady")].message}`)
	if err != nil {
		return err
	}
	curl, err := w.CurlLine(ctx, cast.Residents()[0])
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s\nWhy tenant %s is refused:\n  %s\n\nUse kubectl:\n  export KUBECONFIG=%s\n  %s get bailiwick -A\n\n"+
		"Read mail (the token is good for an hour):\n%s\n\nThe OpenID providers, where anybody may sign in as anybody of the tenant:\n",
		table, cast.Acme, refusal, w.Cluster.Kubeconfig(), w.plane.Binary("kubectl"), curl)
	for _, issuer := range []cast.Issuer{cast.Worldwide(), cast.GCCHigh()} {
		fmt.Fprintf(&text, "  %s\t%s\n", issuer.Cloud, issuer.URL())
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
