package bench

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// words are what the text of the corpus is made of; a search for a rare one finds one message in a hundred.
var words = strings.Fields(`the report of the quarterly meeting shows that our office in the north has moved its records to the new
archive before the deadline please find attached the minutes and the agenda for next week budget travel contract
review customer delivery invoice schedule holiday project release security audit response question answer`)

// rare is the word that one message in a hundred holds.
const rare = "periwinkle"

// messages makes n messages, the same ones each time: about 5.7 kB each, one in five with an attachment.
func messages(n int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, n)
	for i := range out {
		out[i] = message(random, i)
	}
	return out
}

func message(random *rand.Rand, i int) []byte {
	var b strings.Builder
	sender := random.IntN(40)
	fmt.Fprintf(&b, "Return-Path: <sender%d@partner.example>\r\nReceived: from mx.partner.example (mx.partner.example [192.0.2.7])\r\n\tby mail.agency.example with ESMTPS id %08x; %s\r\n",
		sender, random.Uint32(), date(i))
	fmt.Fprintf(&b, "From: %s Example <sender%d@partner.example>\r\nTo: User One <user@agency.example>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d.%08x@partner.example>\r\n",
		words[random.IntN(len(words))], sender, phrase(random, 6), date(i), i, random.Uint32())
	if i%7 == 3 {
		fmt.Fprintf(&b, "In-Reply-To: <%d@partner.example>\r\nReferences: <%d@partner.example>\r\n", i/7, i/7)
	}
	text := body(random, i)
	if i%5 != 0 {
		fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s", text)
		return []byte(b.String())
	}
	attachment := make([]byte, 9000)
	for at := range attachment {
		attachment[at] = byte(random.Uint32())
	}
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n--b%d\r\n", i, i, text, i)
	fmt.Fprintf(&b, "Content-Type: application/pdf; name=report.pdf\r\nContent-Disposition: attachment; filename=report.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	encoded := base64.StdEncoding.EncodeToString(attachment)
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	fmt.Fprintf(&b, "%s\r\n--b%d--\r\n", encoded, i)
	return []byte(b.String())
}

func body(random *rand.Rand, i int) string {
	var b strings.Builder
	for range 30 {
		b.WriteString(phrase(random, 12) + "\r\n")
	}
	if i%100 == 42 {
		b.WriteString("a sprig of " + rare + "\r\n")
	}
	return b.String()
}

func phrase(random *rand.Rand, n int) string {
	picked := make([]string, n)
	for i := range picked {
		picked[i] = words[random.IntN(len(words))]
	}
	return strings.Join(picked, " ")
}

// date of a message: one a minute.
func date(i int) string {
	return time.Date(2026, time.January, 5, 8, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Minute).Format(time.RFC1123Z)
}

// size is the sum of the messages, in octets.
func size(list [][]byte) int64 {
	var sum int64
	for _, m := range list {
		sum += int64(len(m))
	}
	return sum
}
