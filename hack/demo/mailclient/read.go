package mailclient

import (
	"context"
	"fmt"

	"git.sr.ht/~rockorager/go-jmap"
	"git.sr.ht/~rockorager/go-jmap/mail/email"
)

// Search returns the messages that have the words in a header or the text.
func (a *Account) Search(ctx context.Context, words string) ([]string, error) {
	found, err := call[email.QueryResponse](ctx, a, &email.Query{Account: a.id, Filter: &email.FilterCondition{Text: words}})
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(found.IDs))
	for _, id := range found.IDs {
		ids = append(ids, string(id))
	}
	return ids, nil
}

// Read returns a message of plain text.
func (a *Account) Read(ctx context.Context, id string) (Letter, error) {
	answer, err := call[email.GetResponse](ctx, a, &email.Get{
		Account: a.id, IDs: []jmap.ID{jmap.ID(id)}, FetchTextBodyValues: true,
		Properties: []string{"from", "to", "subject", "textBody", "bodyValues"},
	})
	if err != nil {
		return Letter{}, err
	}
	if len(answer.List) != 1 {
		return Letter{}, fmt.Errorf("message %q: %d found", id, len(answer.List))
	}
	message, letter := answer.List[0], Letter{Subject: answer.List[0].Subject}
	for _, from := range message.From {
		letter.From = from.Email
	}
	for _, to := range message.To {
		letter.To = to.Email
	}
	for _, part := range message.TextBody {
		if value, ok := message.BodyValues[part.PartID]; ok {
			letter.Text += value.Value
		}
	}
	return letter, nil
}
