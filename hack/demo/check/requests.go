package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/forge"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
)

// welcome is the subject of a message that the corpus gives to everyone.
const welcome = "Your mailbox is ready"

// mailbox reads the mailbox of a resident through the home region of the tenant.
func (c *checker) mailbox(ctx context.Context, r cast.Resident) (int, error) {
	token, err := c.Token(ctx, r.Cloud, r.Email, r.Device)
	if err != nil {
		return 0, err
	}
	plain, err := c.HTTP()
	if err != nil {
		return 0, err
	}
	account, err := mailclient.Open(plain, c.Region(r.Home).URL, token)
	if err != nil {
		return 0, err
	}
	defer account.Close()
	if want := c.Region(r.Region).URL + "/"; !strings.HasPrefix(account.APIURL(), want) {
		return 0, fmt.Errorf("%s: API URL %q, want one of region %q", r.Email, account.APIURL(), r.Region)
	}
	const limit = 200
	subjects, total, err := account.Subjects(ctx, limit)
	if err != nil {
		return 0, err
	}
	if want := c.counts[r.Email]; total != want || len(subjects) != want {
		return 0, fmt.Errorf("%s: %d messages, %d subjects, want %d", r.Email, total, len(subjects), want)
	}
	for _, subject := range []string{welcome, "Grüße aus Köln — καλημέρα", "Отчёт готов"} {
		if !slices.Contains(subjects, subject) {
			return 0, fmt.Errorf("%s: no message %q among %q", r.Email, subject, subjects)
		}
	}
	return total, nil
}

// mailboxes asserts that each resident reads their mail in their region.
func (c *checker) mailboxes(ctx context.Context) (string, error) {
	total := 0
	for _, r := range cast.Residents() {
		count, err := c.mailbox(ctx, r)
		if err != nil {
			return "", err
		}
		total += count
	}
	return fmt.Sprintf("%d messages of %d people read with their own tokens, each in the right region", total, len(cast.Residents())), nil
}

// commandLine asserts that the printed curl command reads mail, where there is curl.
func (c *checker) commandLine(ctx context.Context) (string, error) {
	command, err := c.CurlLine(ctx, resident(cast.Virginia))
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("curl"); err != nil {
		return "not run, for there is no curl on this machine", nil //nolint:nilerr // curl is not required
	}
	out, err := exec.CommandContext(ctx, "sh", "-c", command).Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if !strings.Contains(string(out), `"subject"`) {
		return "", fmt.Errorf("no subject in the answer: %.300s", out)
	}
	return "the printed curl command reads mail", nil
}

// answer is what a region said to a request.
type answer struct {
	status  int
	header  http.Header
	problem map[string]any
}

// ask sends a request to a region with a token; none if the token is empty.
func (c *checker) ask(ctx context.Context, method, url, token string) (answer, error) {
	body := `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{},"0"]]}`
	if method == http.MethodGet {
		body = ""
	}
	return c.send(ctx, method, url, token, body)
}

// send is ask with a body.
func (c *checker) send(ctx context.Context, method, url, token, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.plain.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // read to the end below
	const limit = 1 << 20
	raw, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err != nil {
		return answer{}, err
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(raw, &a.problem); err != nil {
			return answer{}, fmt.Errorf("problem document: %w", err)
		}
	}
	return a, nil
}

const (
	sessionPath = "/.well-known/jmap"
	apiPath     = "/jmap/api"
)

// wrongRegion asserts that a region sends clients to the region of the mailbox: by a
// redirect for the session, by 421 and a problem document for the rest.
func (c *checker) wrongRegion(ctx context.Context) (string, error) {
	r := resident(cast.Chicago)
	token, err := c.Token(ctx, r.Cloud, r.Email, r.Device)
	if err != nil {
		return "", err
	}
	asked, right := c.Region(cast.Paris), c.Region(cast.Chicago)
	session, err := c.ask(ctx, http.MethodGet, asked.URL+sessionPath, token)
	if err != nil {
		return "", err
	}
	location := session.header.Get("Location")
	if session.status != http.StatusTemporaryRedirect || !strings.HasPrefix(location, right.URL+"/") {
		return "", fmt.Errorf("session at %q: status %d, location %q; want 307 to %q", asked.URL, session.status, location, right.URL)
	}
	api, err := c.ask(ctx, http.MethodPost, asked.URL+apiPath, token)
	if err != nil {
		return "", err
	}
	if api.status != http.StatusMisdirectedRequest || api.problem == nil || !strings.Contains(fmt.Sprint(api.problem), right.Host) {
		return "", fmt.Errorf("API at %q: status %d, problem %v; want 421 that names %q", asked.URL, api.status, api.problem, right.Host)
	}
	return fmt.Sprintf("session: 307 to %s, API: 421", location), nil
}

// badTokens asserts that every forgery is refused, at the session and at the API.
func (c *checker) badTokens(ctx context.Context) (string, error) {
	r := resident(cast.Paris)
	genuine, err := c.Token(ctx, r.Cloud, r.Email, false)
	if err != nil {
		return "", err
	}
	forgeries, err := c.forgeries(ctx, c.Issuers[r.Cloud], genuine)
	if err != nil {
		return "", err
	}
	base := c.Region(r.Region).URL
	for _, f := range forgeries {
		for method, path := range map[string]string{http.MethodGet: sessionPath, http.MethodPost: apiPath} {
			got, err := c.ask(ctx, method, base+path, f.Token)
			if err != nil {
				return "", err
			}
			if err := got.refuses(); err != nil {
				return "", fmt.Errorf("a token %s: %s: %w", f.Flaw, path, err)
			}
		}
	}
	if got, err := c.ask(ctx, http.MethodGet, base+sessionPath, genuine); err != nil || got.status != http.StatusOK {
		return "", fmt.Errorf("the genuine token: status %d, %w", got.status, errOrNone(err))
	}
	return fmt.Sprintf("%d kinds are refused", len(forgeries)), nil
}

// forgeries returns every kind of token that must be refused where the genuine one is
// accepted.
func (c *checker) forgeries(ctx context.Context, issuer forge.Signer, genuine string) ([]forge.Forgery, error) {
	claims, err := forge.Claims(genuine)
	if err != nil {
		return nil, err
	}
	all, err := forge.All(issuer, claims, time.Now())
	if err != nil {
		return nil, err
	}
	other := resident(cast.Virginia)
	foreign, err := c.Token(ctx, other.Cloud, other.Email, false)
	if err != nil {
		return nil, err
	}
	return append(all, forge.Forgery{Flaw: "of another cloud", Token: foreign}, forge.Forgery{Flaw: "missing"}), nil
}

// refuses asserts that an answer is a refusal, with a challenge where HTTP demands one
// (RFC 9110 section 11.6.1).
func (a answer) refuses() error {
	switch {
	case a.status != http.StatusUnauthorized && a.status != http.StatusForbidden:
		return fmt.Errorf("status %d, want 401 or 403", a.status)
	case a.status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") == "":
		return errors.New("status 401 without a challenge")
	default:
		return nil
	}
}

// outsiders asserts that a good token gives no mailbox to a person outside the tenant's
// domains, nor to one whose data location is unknown.
func (c *checker) outsiders(ctx context.Context) (string, error) {
	for _, email := range []string{"eve@elsewhere.example", "dan@contoso.example"} {
		token, err := c.Token(ctx, cast.Worldwide().Cloud, email, false)
		if err != nil {
			return "", err
		}
		got, err := c.ask(ctx, http.MethodGet, c.Region(cast.Paris).URL+sessionPath, token)
		if err != nil {
			return "", err
		}
		if got.status != http.StatusForbidden || got.problem == nil {
			return "", fmt.Errorf("%s: status %d, problem %v; want 403 and a reason", email, got.status, got.problem)
		}
	}
	return "a stranger and an unknown data location get 403", nil
}

func nowTime() *metav1.Time { return &metav1.Time{Time: time.Now()} }
