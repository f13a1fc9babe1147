package check

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
	"github.com/bailiwick-dev/bailiwick/hack/demo/world"
)

// independentClients asserts that two libraries, which others wrote, do what a mail app
// does, with nothing but the access document. All that they wrote is gone afterwards.
func (c *checker) independentClients(ctx context.Context) (string, error) {
	const patience = 5 * time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not done after %s", patience))
	defer cancel()
	_, document, err := c.WriteAccess(ctx)
	if err != nil {
		return "", err
	}
	var access world.Access
	if err := json.Unmarshal(document, &access); err != nil {
		return "", fmt.Errorf("access document: %w", err)
	}
	shared := cast.SharedMailboxes()[0]
	first, second := shared.Members[0], shared.Members[1]
	if err := c.goSession(ctx, access, first, second, shared.Name); err != nil {
		return "", fmt.Errorf("go-jmap: %w", err)
	}
	client, err := c.node.Install(ctx, filepath.Join(c.Folder, "clients"))
	if err != nil {
		return "", err
	}
	if err := client.Session(ctx, document, first, second, shared.Name); err != nil {
		return "", fmt.Errorf("jmap-jam: %w", err)
	}
	return fmt.Sprintf("with go-jmap and with jmap-jam, two people of %s wrote to each other, and both have %q as their second account",
		shared.Region, shared.Name), nil
}

// goSession is the session of go-jmap.
func (c *checker) goSession(ctx context.Context, access world.Access, first, second, shared string) error {
	one, err := c.openBy(ctx, access, first, shared)
	if err != nil {
		return err
	}
	defer one.Close()
	other, err := c.openBy(ctx, access, second, shared)
	if err != nil {
		return err
	}
	defer other.Close()
	if err := correspond(ctx, one, other); err != nil {
		return err
	}
	if err := correspond(ctx, other, one); err != nil {
		return err
	}
	return arrange(ctx, one)
}

// openBy opens the mailbox of a person by what the access document tells, with a token
// that its command prints.
func (c *checker) openBy(ctx context.Context, access world.Access, address, shared string) (*mailclient.Account, error) {
	person, err := personOf(access, address)
	if err != nil {
		return nil, err
	}
	token, err := exec.CommandContext(ctx, "sh", "-c", person.NewToken).Output() //nolint:gosec // the demonstration made the command itself
	if err != nil {
		return nil, fmt.Errorf("%s: the command for a new token: %w", address, err)
	}
	plain, err := c.HTTP()
	if err != nil {
		return nil, err
	}
	account, err := mailclient.Open(plain, strings.TrimSuffix(person.SessionURL, sessionPath), strings.TrimSpace(string(token)))
	if err != nil {
		return nil, err
	}
	others := account.Shared()
	if id, ok := others[shared]; !ok || len(others) != 1 {
		err = fmt.Errorf("%s: the further accounts are %v, want %q", address, others, shared)
	} else if _, _, readErr := account.Use(id).Subjects(ctx, 1); readErr != nil {
		err = fmt.Errorf("%s: read %q: %w", address, shared, readErr)
	}
	if err != nil {
		account.Close()
		return nil, err
	}
	return account, nil
}

func personOf(access world.Access, address string) (world.PersonAccess, error) {
	for _, cloud := range access.Clouds {
		for i := range cloud.People {
			if cloud.People[i].Address == address {
				return cloud.People[i], nil
			}
		}
	}
	return world.PersonAccess{}, fmt.Errorf("%s: not in the access document", address)
}

// correspond asserts that a letter is sent and delivered within the region, that an open
// event stream tells the recipient of it, and that it is found and read.
func correspond(ctx context.Context, sender, recipient *mailclient.Account) error {
	word := strings.ToLower(rand.Text())
	want := mailclient.Letter{
		From: sender.Name(), To: recipient.Name(), Subject: "Ein Gruß — καλημέρα", Text: "Grüße aus der Region, " + word + " ✓\n",
	}
	var sent mailclient.Sent
	err := recipient.AwaitDelivery(ctx, func(ctx context.Context) (err error) {
		sent, err = sender.Send(ctx, want.To, want.Subject, want.Text)
		return err
	})
	if err != nil {
		return err
	}
	err = kube.Poll(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		delivered, err := sender.Delivery(ctx, sent.Submission)
		if err == nil && !cmp.Equal(delivered, map[string]string{want.To: "yes"}) {
			err = fmt.Errorf("submission: delivered is %v", delivered)
		}
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
	return errors.Join(sender.Discard(ctx, sent.Message), recipient.Discard(ctx, found...))
}

// arrange makes a mailbox, names it anew and destroys it.
func arrange(ctx context.Context, account *mailclient.Account) error {
	before, err := account.Mailboxes(ctx)
	if err != nil {
		return err
	}
	id, err := account.CreateMailbox(ctx, "Réunions")
	if err != nil {
		return err
	}
	const name = "Compte rendus"
	if err := account.RenameMailbox(ctx, id, name); err != nil {
		return err
	}
	renamed, err := account.Mailboxes(ctx)
	if err != nil {
		return err
	}
	if renamed[id] != name || len(renamed) != len(before)+1 {
		return fmt.Errorf("mailboxes: %v after one was made and named %q", renamed, name)
	}
	if err := account.DestroyMailbox(ctx, id); err != nil {
		return err
	}
	after, err := account.Mailboxes(ctx)
	if diff := cmp.Diff(before, after); err == nil && diff != "" {
		err = fmt.Errorf("mailboxes changed:\n%s", diff)
	}
	return err
}
