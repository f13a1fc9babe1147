package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/hack/demo/canary"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mbox"
)

// locality asserts that nothing of what a mailbox holds is in another region, in any log
// or in the API server, also not after its owner came to the wrong region with it. The
// same search has to find all of it in the store of the mailbox's own region, and what was
// written to the API server for that.
func (c *checker) locality(ctx context.Context) (detail string, err error) {
	owner := resident(cast.Paris)
	token, err := c.Token(ctx, owner.Cloud, owner.Email, owner.Device)
	if err != nil {
		return "", err
	}
	bird := canary.New()
	remove, err := c.plant(ctx, owner, token, bird)
	defer func() { err = errors.Join(err, remove(ctx)) }()
	if err != nil {
		return "", err
	}
	stray, err := c.goAstray(ctx, owner, token, bird)
	if err != nil {
		return "", err
	}
	home := bird.Start()
	if err := c.searchStore(ctx, home, owner.Region); err != nil {
		return "", err
	}
	if missing := home.Found.Missing(); len(missing) > 0 {
		return "", fmt.Errorf("the search sees nothing: the words of %v are not in the mailbox's own region", missing)
	}
	elsewhere, err := c.searchElsewhere(ctx, bird, owner.Region)
	if err != nil {
		return "", err
	}
	objects, err := c.searchPlane(ctx, elsewhere)
	if err != nil {
		return "", err
	}
	if len(elsewhere.Found) > 0 {
		return "", fmt.Errorf("found outside of region %q: %s", owner.Region, elsewhere.Found)
	}
	return fmt.Sprintf("%d words in a mailbox of %s are in its store and, after %d requests to other regions, in none of %d MB of the others' stores, of logs and of %d objects",
		len(canary.Places()), owner.Region, stray, elsewhere.Octets>>20, objects), nil //nolint:mnd // octets of a MB, in bits
}

// plant hides the words in a mailbox: by a client, by a server that brings mail, and in the
// outbox. What it returns removes them again.
func (c *checker) plant(ctx context.Context, owner cast.Resident, token string, bird canary.Canary) (remove func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	plain, err := c.HTTP()
	if err != nil {
		return nothing, err
	}
	account, err := mailclient.Open(plain, c.Region(owner.Region).URL, token)
	if err != nil {
		return nothing, err
	}
	remove = func(ctx context.Context) error {
		defer account.Close()
		return uproot(ctx, account, bird)
	}
	if _, err := account.CreateMailbox(ctx, bird.Word(canary.Mailbox)); err != nil {
		return remove, err
	}
	var file bytes.Buffer
	if err := mbox.Write(&file, bird.Message(owner.Email, time.Now())); err != nil {
		return remove, err
	}
	if _, err := account.Import(ctx, &file); err != nil {
		return remove, err
	}
	relay, err := c.relay(ctx, owner.Region)
	if err != nil {
		return remove, err
	}
	if _, err := relay.Deliver(ctx, "iris@elsewhere.example", owner.Email, []byte("Subject: "+bird.Word(canary.Brought)+"\r\n\r\n")); err != nil {
		return remove, err
	}
	if _, err = account.Send(ctx, owner.Email, bird.Word(canary.Sent), bird.Word(canary.Sent)); err != nil {
		return remove, err
	}
	return remove, arrived(ctx, account, bird)
}

// arrived waits until what the owner sent to themselves is in the mailbox twice.
func arrived(ctx context.Context, account *mailclient.Account, bird canary.Canary) error {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("mail that was sent did not arrive"))
	defer cancel()
	return kube.Poll(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		found, err := account.Search(ctx, bird.Word(canary.Sent))
		if err == nil && len(found) != 2 {
			err = fmt.Errorf("%d messages found, want 2", len(found))
		}
		return err
	})
}

// uproot takes what was planted out of a mailbox.
func uproot(ctx context.Context, account *mailclient.Account, bird canary.Canary) error {
	for _, place := range []string{canary.Subject, canary.Brought, canary.Sent} {
		found, err := account.Search(ctx, bird.Word(place))
		if err != nil {
			return err
		}
		if err := account.Discard(ctx, found...); err != nil {
			return err
		}
	}
	boxes, err := account.Mailboxes(ctx)
	if err != nil {
		return err
	}
	for id, name := range boxes {
		if name == bird.Word(canary.Mailbox) {
			return account.DestroyMailbox(ctx, id)
		}
	}
	return nil
}

// goAstray brings the words to every other region, as a client would that does not know
// where its mailbox is. It returns how many requests were turned away: all.
func (c *checker) goAstray(ctx context.Context, owner cast.Resident, token string, bird canary.Canary) (int, error) {
	const account = "/A/"
	query := fmt.Sprintf(`{"using":["urn:ietf:params:jmap:core","urn:ietf:params:jmap:mail"],"methodCalls":[["Email/query",{"accountId":"A","filter":{"text":%q}},"0"]]}`,
		bird.Word(canary.Text))
	count := 0
	for _, region := range others(owner.Region) {
		for _, stray := range []struct{ method, path, body string }{
			{http.MethodGet, sessionPath, ""},
			{http.MethodPost, apiPath, query},
			{http.MethodPost, "/jmap/upload" + account, string(bird.Message(owner.Email, time.Now()).Raw)},
			{http.MethodGet, "/jmap/download" + account + "B/" + bird.Word(canary.FileName), ""},
		} {
			got, err := c.send(ctx, stray.method, c.Region(region).URL+stray.path, token, stray.body)
			if err != nil {
				return count, err
			}
			turnedAway := []int{http.StatusTemporaryRedirect, http.StatusMisdirectedRequest, http.StatusUnauthorized, http.StatusForbidden}
			if !slices.Contains(turnedAway, got.status) {
				return count, fmt.Errorf("%s %s at region %q: status %d", stray.method, stray.path, region, got.status)
			}
			count++
		}
	}
	return count, nil
}

// others lists the regions but one.
func others(home cast.Object) []cast.Object {
	return slices.DeleteFunc(cast.Regions(), func(region cast.Object) bool { return region == home })
}

func (c *checker) searchStore(ctx context.Context, search *canary.Search, region cast.Object) error {
	folder, err := c.StoreFolder(ctx, region)
	if err != nil {
		return err
	}
	return search.Store(ctx, folder, filepath.Join(c.Folder, "copies", region.Namespace, region.Name))
}

// searchElsewhere looks at the stores of all other regions, at what the node keeps for
// their pods and that of the operator, and at the logs of all pods.
func (c *checker) searchElsewhere(ctx context.Context, bird canary.Canary, home cast.Object) (*canary.Search, error) {
	search := bird.Start()
	for _, region := range others(home) {
		if err := c.searchStore(ctx, search, region); err != nil {
			return nil, err
		}
	}
	pods, err := kube.List[corev1.Pod](ctx, c.Cluster, kube.Pods, "", "")
	if err != nil {
		return nil, err
	}
	for i := range pods {
		var wanted func(string) bool
		if pods[i].Namespace == home.Namespace && strings.HasPrefix(pods[i].Name, home.Name+"-sync-") {
			wanted = func(path string) bool { return strings.HasSuffix(path, ".log") }
		}
		before := search.Octets
		if err := search.Files(c.PodFolder(&pods[i]), wanted); err != nil {
			return nil, err
		}
		if search.Octets == before {
			return nil, fmt.Errorf("pod %s/%s has no log", pods[i].Namespace, pods[i].Name)
		}
	}
	return search, nil
}

// searchPlane looks at every object of the API server, and at its database, where also
// those of the past are. An object that is written for it shows that it would see a word.
func (c *checker) searchPlane(ctx context.Context, search *canary.Search) (objects int, err error) {
	other := canary.New()
	const name, namespace = "canary", "bailiwick-system"
	_, err = c.Cluster.Kubectl(ctx, "create", "secret", "generic", name, "-n", namespace, "--from-literal=word="+other.Word(canary.Text))
	if err != nil {
		return 0, err
	}
	defer func() {
		_, deleteErr := c.Cluster.Kubectl(ctx, "delete", "secret", name, "-n", namespace)
		err = errors.Join(err, deleteErr)
	}()
	documents, err := c.Cluster.Objects(ctx)
	if err != nil {
		return 0, err
	}
	inObjects, inFiles := other.Start(), other.Start()
	for object, document := range documents {
		search.Data("object "+object, document)
		inObjects.Data(object, document)
	}
	if err := search.Files(c.PlaneFolder(), nil); err != nil {
		return 0, err
	}
	if err := inFiles.Files(c.PlaneFolder(), nil); err != nil {
		return 0, err
	}
	for _, control := range []*canary.Search{inObjects, inFiles} {
		if _, ok := control.Found[canary.Text]; !ok {
			return 0, errors.New("the search sees nothing: a word that was written to the API server is not found there")
		}
	}
	return len(documents), nil
}
