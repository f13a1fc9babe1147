package mail

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// replyInterval is how long a sender that had an automatic reply has no other.
	replyInterval = 7 * 24 * time.Hour
	// forgetReplies is how many replies that are older are forgotten with each new one.
	forgetReplies = 16
	// maxReplyReferences bounds the References field of a reply.
	maxReplyReferences = 20
)

// defaultVacation is the text of a reply for which the user wrote none.
const defaultVacation = "I am away at present and will read your message when I am back.\r\n"

// reply answers a message that just came, if the account has a vacation response that is active and the message is
// one that may be answered by a program (RFC 3834). It says whether it did.
func (e *edit) reply(returnPath string, received int64, p *parcel) (bool, error) {
	v, err := readVacation(e.ctx, e.tx, e.account)
	if err != nil || !v.active(received) {
		return false, err
	}
	meta, exists, err := readMeta(e.ctx, e.tx, e.account)
	if err != nil || !exists || meta.Address == "" || !mayReply(returnPath, meta.Address, p.fields) {
		return false, err
	}
	from, err := e.ownAddress(&meta)
	if err != nil {
		return false, err
	}
	fresh, err := e.remember(addressKey(returnPath), e.service.opts.Now())
	if err != nil || !fresh {
		return false, err
	}
	return true, e.answer(&v, from, returnPath, p)
}

// ownAddress is what the mail of an account is from, when nobody chose.
func (e *edit) ownAddress(meta *accountMeta) (message.Address, error) {
	ident, err := identities.read(e.ctx, e.tx, e.account, meta.Identity)
	if err != nil || ident == nil {
		return message.Address{Email: meta.Address}, err
	}
	return message.Address{Name: &ident.Name, Email: ident.Email}, nil
}

// answer puts a reply into the outbox.
func (e *edit) answer(v *vacation, from message.Address, returnPath string, p *parcel) error {
	data := v.compose(from, returnPath, p.fields, e.service.opts.Now())
	info, err := e.service.blobs.Put(e.ctx, e.tenant, bytes.NewReader(data))
	if err != nil {
		return err
	}
	id, err := e.newID("r")
	if err != nil {
		return err
	}
	// The return path is empty, so that nothing answers the answer.
	return e.enqueue(&outgoing{
		ID: id, Blob: info.Hash, To: []*addressee{{Address: returnPath, Notify: []string{notifyNever}}},
		Start: e.service.opts.Now().UnixMilli(), SMTPUTF8: !message.ASCII(message.HeaderOf(data)) || !message.ASCII([]byte(returnPath)),
	})
}

// remember notes that a sender has a reply. It is false when the sender had one not long ago.
func (e *edit) remember(key string, now time.Time) (fresh bool, err error) {
	last, err := e.get(e.keys.replied(key))
	if err != nil {
		return false, err
	}
	if last != nil {
		at, _, err := store.CutUint(last)
		if err != nil {
			return false, err
		}
		if now.Sub(time.UnixMilli(int64(at^1<<63))) < replyInterval { //nolint:gosec // undoes orderly
			return false, nil
		}
		e.tx.Delete(append(append(store.Key{}, e.keys.repliedAt()...), store.Key(last).String(key)...))
	}
	if err := e.forgetReplies(now); err != nil {
		return false, err
	}
	at := orderly(now.UnixMilli())
	e.tx.Set(e.keys.replied(key), store.Key(nil).Uint(at))
	e.tx.Set(e.keys.repliedAt().Uint(at).String(key), nil)
	return true, nil
}

// forgetReplies removes what is remembered of replies that no longer count.
func (e *edit) forgetReplies(now time.Time) error {
	prefix := e.keys.repliedAt()
	old := store.Range{Start: prefix, End: prefix.Uint(orderly(now.Add(-replyInterval).UnixMilli()))}
	entries, err := scanKeys(e.ctx, e.tx, old, store.ScanOptions{Limit: forgetReplies})
	if err != nil {
		return err
	}
	for _, entry := range entries {
		key, _, err := store.CutString(entry[len(prefix)+8:])
		if err != nil {
			return err
		}
		e.tx.Delete(entry)
		e.tx.Delete(e.keys.replied(key))
	}
	return nil
}

// mayReply says whether a program may answer a message to an address (RFC 3834 section 2): it is from a person, as far
// as can be told, and names the address as one that it is for.
func mayReply(returnPath, own string, fields message.Fields) bool {
	p, ok := parsePath(returnPath)
	return ok && p.key() != own && !isProgram(p.local) && !automatic(fields) && namedIn(fields, own)
}

// programs are the local parts that programs send from, and what such local parts begin or end with.
var programs = struct{ whole, prefixes, suffixes []string }{
	whole: []string{
		"mailer-daemon", "listserv", "majordomo", "mailman", "noreply", "no-reply", "donotreply", "do-not-reply", "postmaster", "bounce",
		"bounces", "root", "daemon",
	},
	prefixes: []string{"owner-", "bounce-", "bounces-", "bounce+", "bounces+", "noreply-", "no-reply-", "noreply+", "no-reply+", "mailer-daemon-"},
	suffixes: []string{"-request", "-owner", "-bounce", "-bounces", "-noreply", "-no-reply", "+bounces"},
}

func isProgram(local string) bool {
	local = strings.ToLower(local)
	return slices.Contains(programs.whole, local) ||
		slices.ContainsFunc(programs.prefixes, func(p string) bool { return strings.HasPrefix(local, p) }) ||
		slices.ContainsFunc(programs.suffixes, func(s string) bool { return strings.HasSuffix(local, s) })
}

// automatons are the fields that tell of a program, and for which values they do; nil is for any.
var automatons = map[string]func(value string) bool{
	"feedback-id": nil, "x-loop": nil, "x-autoreply": nil, "x-autorespond": nil,
	"auto-submitted":           func(value string) bool { return word(value) != "no" },
	"precedence":               func(value string) bool { return slices.Contains([]string{"bulk", "list", "junk", "auto_reply"}, value) },
	"x-auto-response-suppress": func(value string) bool { return value != "none" },
	"content-type":             func(value string) bool { return value == "multipart/report" || value == "message/delivery-status" },
}

// automatic says whether a header is that of a list, a notice or another message of a program.
func automatic(fields message.Fields) bool {
	return slices.ContainsFunc(fields, func(f message.Field) bool {
		name := strings.ToLower(f.Name)
		tells, known := automatons[name]
		value, _, _ := strings.Cut(strings.ToLower(f.Value), ";")
		return strings.HasPrefix(name, "list-") || (known && (tells == nil || tells(strings.TrimSpace(value))))
	})
}

// word returns the first word of a value.
func word(s string) string {
	first, _, _ := strings.Cut(s, " ")
	return first
}

// namedIn says whether a header names an address as a recipient.
func namedIn(fields message.Fields, own string) bool {
	for _, name := range []string{"To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"} {
		for _, value := range fields.All(name) {
			if slices.ContainsFunc(message.ParseAddresses(value), func(a message.Address) bool { return addressKey(a.Email) == own }) {
				return true
			}
		}
	}
	return false
}

// compose writes the reply (RFC 3834 section 3.1).
func (v *vacation) compose(from message.Address, to string, original message.Fields, now time.Time) []byte {
	fields := message.Fields{
		{Name: "From", Value: message.FormatAddresses([]message.Address{from})},
		{Name: "To", Value: message.FormatAddresses([]message.Address{{Email: to}})},
		{Name: "Subject", Value: message.FormatText(v.subject(original))},
		{Name: "Date", Value: " " + now.Format(dateLayout)},
		{Name: "Message-ID", Value: message.FormatBracketed([]string{newMessageID(from.Email)}, "")},
		{Name: "Auto-Submitted", Value: " auto-replied"},
		{Name: "X-Auto-Response-Suppress", Value: " All"},
		{Name: "MIME-Version", Value: " 1.0"},
	}
	value, _ := original.Last("Message-ID")
	if ids := message.ParseMessageIDs(value); len(ids) > 0 {
		previous, _ := original.Last("References")
		references := append(message.ParseMessageIDs(previous), ids[0])
		references = references[max(0, len(references)-maxReplyReferences):]
		fields = append(fields,
			message.Field{Name: "In-Reply-To", Value: message.FormatBracketed(ids[:1], "")},
			message.Field{Name: "References", Value: message.FormatBracketed(references, "")})
	}
	body := v.body()
	body.Fields = append(fields, body.Fields...)
	return message.Compose(body)
}

// subject is what the user wrote, or else that of the message that is answered.
func (v *vacation) subject(original message.Fields) string {
	if v.Subject != nil && strings.TrimSpace(*v.Subject) != "" {
		return *v.Subject
	}
	value, _ := original.Last("Subject")
	subject := strings.TrimSpace(message.DecodeText(value))
	if subject == "" {
		return "Automatic reply"
	}
	return "Auto: " + subject
}

// body is the text of the reply, in the forms that the user wrote it in; plain text is always one of them.
func (v *vacation) body() *message.Entity {
	text := defaultVacation
	switch {
	case v.TextBody != nil:
		text = *v.TextBody
	case v.HTMLBody != nil:
		text = strings.TrimSpace(message.Plain(*v.HTMLBody)) + "\n"
	}
	charset := []message.Parameter{{Name: "charset", Value: "utf-8"}}
	plain := &message.Entity{Type: "text/plain", Params: charset, Content: crlf(text)}
	if v.HTMLBody == nil {
		return plain
	}
	html := &message.Entity{Type: "text/html", Params: charset, Content: crlf(*v.HTMLBody)}
	return &message.Entity{Type: "multipart/alternative", Boundary: "=_" + rand.Text(), Parts: []*message.Entity{plain, html}}
}

// crlf writes the line breaks of a text as mail has them.
func crlf(text string) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"))
}
