package mail

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
)

const (
	// maxRowProperty is the length from which on a property of the list row is left out and read from the message.
	maxRowProperty = 8 << 10
	// maxParts is the length from which on the MIME structure is read from the message.
	maxParts = 64 << 10
	// maxText bounds what of a message can be searched, in octets.
	maxText = 256 << 10
	// textChunk is how much of it lies under one key.
	textChunk = 64 << 10
	// maxReferences bounds how many message ids connect an email to a thread.
	maxReferences = 32
)

// rowProperties are the properties of the list row that are read from the message.
var rowProperties = []string{
	"messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "preview",
}

// render reads everything from a message that is kept beside it.
func render(data []byte) (*rendered, error) {
	root := message.Parse(data)
	fields := message.ParseFields(root.Header.Of(data))
	bodies := message.Flatten(root)
	out := &rendered{row: map[string]json.RawMessage{}, attachment: bodies.HasAttachment()}
	for _, name := range rowProperties {
		var value any
		if h, ok := message.Convenience(name); ok {
			value = h.Of(fields)
		} else {
			value = message.Preview(data, bodies)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", name, err)
		}
		if len(raw) <= maxRowProperty {
			out.row[name] = raw
		}
	}
	parts, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("render parts: %w", err)
	}
	if len(parts) <= maxParts {
		out.parts = parts
	}
	out.text = chunks(foldText(message.Searchable(data, root, maxText)))
	out.references = referencesOf(fields)
	out.received = receivedOf(fields)
	out.signature = smime.Open(data, root)
	out.labels = label.Carried(fields.All(label.Header))
	return out, nil
}

// chunks cuts text into pieces of a bounded length.
func chunks(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var out []string
	for len(text) > textChunk {
		out, text = append(out, text[:textChunk]), text[textChunk:]
	}
	return append(out, text)
}

// referencesOf returns hashes of the message ids in a header, each with the base subject, the nearest first. Two
// emails belong to one thread when they share one (RFC 8621 section 3).
func referencesOf(fields message.Fields) []string {
	var ids []string
	for _, name := range []string{"Message-ID", "In-Reply-To", "References"} {
		for _, value := range slices.Backward(fields.All(name)) {
			list := message.ParseMessageIDs(value)
			slices.Reverse(list)
			ids = append(ids, list...)
		}
	}
	subject, _ := fields.Last("Subject")
	base := strings.Join(strings.Fields(foldText(message.BaseSubject(message.DecodeText(subject)))), "")
	var out []string
	for _, id := range ids[:min(len(ids), maxReferences)] {
		sum := sha256.Sum256([]byte(id + "\x00" + base))
		if hash := base64.RawURLEncoding.EncodeToString(sum[:15]); !slices.Contains(out, hash) {
			out = append(out, hash)
		}
	}
	return out
}

// receivedOf returns when the last server received the message, or zero (RFC 8621 section 4.8, receivedAt).
func receivedOf(fields message.Fields) int64 {
	values := fields.All("Received")
	if len(values) == 0 {
		return 0
	}
	at, ok := message.ParseDate(values[0][strings.LastIndexByte(values[0], ';')+1:])
	if !ok {
		return 0
	}
	return at.UnixMilli()
}
