package mail

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// The defaults of Email/get, Email/parse and EmailBodyPart (RFC 8621 sections 4.2 and 4.9).
var (
	defaultParsed = []string{
		"messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt",
		"hasAttachment", "preview", "bodyValues", "textBody", "htmlBody", "attachments",
	}
	defaultEmail = append([]string{
		"id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt",
	}, defaultParsed...)
	defaultBodyPart = []string{
		"partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location",
	}
)

// metaProperties are the properties that are not read from the message.
var metaProperties = []string{
	"id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "hasAttachment",
}

// bodyProperties are the properties that need the MIME structure.
var bodyProperties = []string{"bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments"}

// partProperties are the properties of a body part by name.
var partProperties = append([]string{"headers", "subParts"}, defaultBodyPart...)

// bodyArguments are the arguments that Email/get and Email/parse have in common.
type bodyArguments struct {
	BodyProperties      []string `json:"bodyProperties"`
	FetchTextBodyValues bool     `json:"fetchTextBodyValues"`
	FetchHTMLBodyValues bool     `json:"fetchHTMLBodyValues"`
	FetchAllBodyValues  bool     `json:"fetchAllBodyValues"`
	MaxBodyValueBytes   int64    `json:"maxBodyValueBytes"`
}

// selection is what a call wants to know of each email, checked.
type selection struct {
	bodyArguments

	properties []string
	headers    map[string]message.HeaderProperty
	// partProperties and partHeaders are the same for each body part.
	partProperties []string
	partHeaders    map[string]message.HeaderProperty
	// signatures tells what is asked of S/MIME; nil when that is nothing.
	signatures *verifier
	// octets is how much of messages the answer holds so far, about.
	octets int64
	// labels are the sensitivity labels of the tenant.
	labels *label.Set
}

// newSelection checks properties; nil means the defaults.
func newSelection(properties, defaults []string, body bodyArguments) (*selection, error) {
	if properties == nil {
		properties = defaults
	}
	s := &selection{bodyArguments: body, partProperties: defaultBodyPart}
	if body.MaxBodyValueBytes < 0 || body.MaxBodyValueBytes > jmap.MaxInt {
		return nil, jmap.InvalidArguments("maxBodyValueBytes: %d is not an UnsignedInt", body.MaxBodyValueBytes)
	}
	if body.BodyProperties != nil {
		s.partProperties = body.BodyProperties
	}
	var err error
	if s.properties, s.headers, err = checkNames("properties", properties, emailProperty); err != nil {
		return nil, err
	}
	s.partProperties, s.partHeaders, err = checkNames("bodyProperties", s.partProperties, func(name string) bool {
		return slices.Contains(partProperties, name)
	})
	return s, err
}

// checkNames sorts the properties that are asked for from the header fields that are.
func checkNames(argument string, names []string, known func(string) bool) ([]string, map[string]message.HeaderProperty, error) {
	var plain []string
	headers := map[string]message.HeaderProperty{}
	for _, name := range names {
		if strings.HasPrefix(name, "header:") {
			h, err := message.ParseHeaderProperty(name)
			if err != nil {
				return nil, nil, jmap.InvalidArguments("%s: %s", argument, err)
			}
			headers[name] = h
			continue
		}
		if !known(name) {
			return nil, nil, jmap.InvalidArguments("%s: %q is not a property", argument, name)
		}
		plain = append(plain, name)
	}
	return plain, headers, nil
}

func emailProperty(name string) bool {
	return name == "headers" || name == label.Property || slices.Contains(metaProperties, name) || slices.Contains(rowProperties, name) ||
		slices.Contains(bodyProperties, name)
}

// maxContent is how many octets of messages an answer may hold when it holds more than one: it is made in memory.
const maxContent = 96 << 20

// tooMuch refuses a call whose answer would be too large.
func (s *selection) tooMuch(emails int) error {
	if emails < 2 || s.octets <= maxContent {
		return nil
	}
	return &jmap.MethodError{
		Type:        jmap.ErrorRequestTooLarge,
		Description: fmt.Sprintf("the answer would hold more than %d octets of messages: ask for fewer at a time, or set maxBodyValueBytes", int64(maxContent)),
	}
}

// wants says whether any of the properties is asked for.
func (s *selection) wants(names ...string) bool {
	return slices.ContainsFunc(s.properties, func(p string) bool { return slices.Contains(names, p) })
}
