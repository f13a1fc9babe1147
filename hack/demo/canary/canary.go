// Package canary hides words in a mailbox and looks for them where nothing of the mailbox
// may be.
package canary

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/mbox"
)

// The places of a mailbox in which a word hides.
const (
	Subject  = "subject"
	Text     = "text"
	Header   = "header"
	Sender   = "sender"
	FileName = "filename"
	File     = "file"
	Mailbox  = "mailbox"
	Brought  = "brought"
	Sent     = "sent"
)

// Places lists the places.
func Places() []string {
	return []string{Subject, Text, Header, Sender, FileName, File, Mailbox, Brought, Sent}
}

// Canary is a word for each place, which nobody else writes. It consists of lower-case
// letters and digits, so that no format escapes or folds it.
type Canary struct {
	common string
}

// New makes a canary that was never there before.
func New() Canary { return Canary{common: strings.ToLower(rand.Text())} }

// Word is what hides in a place.
func (c Canary) Word(place string) string { return c.common + place }

// Message is a message to an address that holds the words of all places that one message
// has: not those of the mailbox, of mail that a server brought, and of mail that was sent.
func (c Canary) Message(to string, received time.Time) mbox.Message {
	sender := c.Word(Sender) + "@elsewhere.example"
	raw := strings.Join([]string{
		"From: " + sender,
		"To: " + to,
		"Subject: " + c.Word(Subject),
		"X-Canary: " + c.Word(Header),
		"Message-ID: <" + c.Word(Header) + "@elsewhere.example>",
		"Date: " + received.Format(time.RFC1123Z),
		"MIME-Version: 1.0",
		"Content-Type: multipart/mixed; boundary=border",
		"",
		"--border",
		"Content-Type: text/plain",
		"",
		c.Word(Text),
		"--border",
		"Content-Type: application/octet-stream",
		"Content-Disposition: attachment; filename=" + c.Word(FileName),
		"Content-Transfer-Encoding: base64",
		"",
		base64.StdEncoding.EncodeToString([]byte(c.Word(File))),
		"--border--",
		"",
	}, "\r\n")
	return mbox.Message{Sender: sender, Received: received, Raw: []byte(raw)}
}

// Found tells where words were seen: for each place the first of them.
type Found map[string]string

// String lists what was found, in order.
func (f Found) String() string {
	var lines []string
	for _, place := range slices.Sorted(maps.Keys(f)) {
		lines = append(lines, fmt.Sprintf("the word of the %s in %s", place, f[place]))
	}
	return strings.Join(lines, ", ")
}

// Missing lists the places whose words were not seen.
func (f Found) Missing() []string {
	return slices.DeleteFunc(Places(), func(place string) bool { _, ok := f[place]; return ok })
}

// add keeps what else was found.
func (f Found) add(other Found) {
	for place, where := range other {
		if _, ok := f[place]; !ok {
			f[place] = where
		}
	}
}

// Look searches data for the words, as they are and in base64.
func (c Canary) Look(where string, data []byte) Found {
	if !contains(data, c.common) {
		return nil
	}
	found := Found{}
	for _, place := range Places() {
		if contains(data, c.Word(place)) {
			found[place] = where
		}
	}
	if len(found) == 0 {
		found["canary"] = where // a part of a word
	}
	return found
}

func contains(data []byte, word string) bool {
	if bytes.Contains(data, []byte(word)) {
		return true
	}
	for _, encoded := range encodings(word) {
		if bytes.Contains(data, []byte(encoded)) {
			return true
		}
	}
	return false
}

// encodings are what base64 makes of a word, whatever stands before and after it: three
// octets become four characters, so there are three ways. Letters and digits yield none
// of the characters in which the alphabets differ.
func encodings(word string) []string {
	const octets, bits, perCharacter = 3, 8, 6
	all := make([]string, 0, octets)
	for before := range octets {
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), word...))
		first := (before*bits + perCharacter - 1) / perCharacter
		last := (before + len(word)) * bits / perCharacter
		all = append(all, encoded[first:last])
	}
	return all
}
