package inbound

import (
	"errors"
	"fmt"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

const note = "Subject: hello\r\n\r\n.dot\r\nGrüße\r\n"

// stuffed is content as it travels.
func stuffed(content string) string {
	return strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")[2:] + ".\r\n"
}

// body is a message without the field that the server puts before it.
func body(t *testing.T, d delivered) string {
	t.Helper()
	_, rest, ok := strings.Cut(d.message, ";\r\n\t")
	if !ok {
		t.Fatalf("message %q", d.message)
	}
	_, rest, _ = strings.Cut(rest, "\r\n")
	return rest
}

func TestClientOfTheStandardLibraryDelivers(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	if err := smtp.SendMail(r.address, nil, "bob@elsewhere.example", []string{"ann@agency.example", "joe@agency.example"}, []byte(note)); err == nil {
		t.Error("a client that cannot verify the certificate went on")
	}
	c, err := smtp.Dial(r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, step := range []func() error{
		func() error { return c.Mail("bob@elsewhere.example") },
		func() error { return c.Rcpt("ann@agency.example") },
		func() error { return c.Rcpt("joe@agency.example") },
		func() error {
			w, err := c.Data()
			if err != nil {
				return err
			}
			_, err = w.Write([]byte(note))
			return errors.Join(err, w.Close())
		},
		c.Quit,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	got := r.boxes.got()
	if len(got) != 1 || body(t, got[0]) != note {
		t.Fatalf("messages %+v", got)
	}
	want := delivery.Envelope{From: "bob@elsewhere.example", SMTPUTF8: true, To: []delivery.Recipient{{Address: "ann@agency.example"}, {Address: "joe@agency.example"}}}
	if diff := cmp.Diff(want, got[0].envelope); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if n := r.metric(t, "bailiwick_sync_inbound_recipients_total", "delivered"); n != 2 {
		t.Errorf("recipients counted: %v", n)
	}
	if logs := r.logs.String(); strings.Contains(logs, "@") || strings.Contains(logs, "hello") || !strings.Contains(logs, "message received") {
		t.Errorf("logs hold addresses or content, or nothing:\n%s", logs)
	}
}

func TestEachRefusalHasItsReply(t *testing.T) {
	t.Parallel()
	checks := map[string]error{
		"none@agency.example":      fmt.Errorf("check: %w", delivery.ErrNoMailbox),
		"ann@elsewhere.example":    delivery.ErrNotHomed,
		"ann@suspended.example":    delivery.ErrSuspended,
		"full@agency.example":      delivery.ErrFull,
		"down@agency.example":      errors.New("the store of ann@agency.example is down"),
		"small@agency.example":     delivery.ErrTooLarge,
		`"a> b"@agency.example`:    delivery.ErrNoMailbox,
		"jürgen@agency.example":    nil,
		"never-asked@agency.other": nil,
	}
	ehlo, mail := "EHLO mx.example", "MAIL FROM:<bob@elsewhere.example>"
	for name, test := range map[string]struct {
		before     []string
		line, want string
	}{
		"not homed":           {[]string{ehlo, mail}, "RCPT TO:<ann@elsewhere.example>", "550 5.1.2 the domain is not homed here"},
		"no mailbox":          {[]string{ehlo, mail}, "RCPT TO:<none@agency.example>", "550 5.1.1 no such mailbox here"},
		"quoted":              {[]string{ehlo, mail}, `RCPT TO:<"a> b"@Agency.Example>`, "550 5.1.1 no such mailbox here"},
		"suspended":           {[]string{ehlo, mail}, "RCPT TO:<ann@suspended.example>", "450 4.2.1 the mailbox takes no mail at present"},
		"full":                {[]string{ehlo, mail}, "RCPT TO:<full@agency.example>", "452 4.2.2 the mailbox is full"},
		"too large":           {[]string{ehlo, mail}, "RCPT TO:<small@agency.example>", "552 5.3.4 the message is larger than the server takes"},
		"store down":          {[]string{ehlo, mail}, "RCPT TO:<down@agency.example>", "451 4.3.0 the mailbox cannot be reached, try again later"},
		"malformed recipient": {[]string{ehlo, mail}, "RCPT TO:<ann@agency..example>", "553 5.1.3 the address is malformed"},
		"recipient, no path":  {[]string{ehlo, mail}, "RCPT TO:", "501 5.5.2 "},
		"UTF-8 recipient":     {[]string{ehlo, mail}, "RCPT TO:<jürgen@agency.example>", "553 5.6.7 the address needs SMTPUTF8"},
		"too many recipients": {[]string{ehlo, mail, "RCPT TO:<a@agency.example>", "RCPT TO:<b@agency.example>"}, "RCPT TO:<c@agency.example>", "452 4.5.3 too many recipients, send the rest in another transaction"},
		"malformed sender":    {[]string{ehlo}, "MAIL FROM:<bob@-x.example>", "553 5.1.7 the reverse path is malformed"},
		"UTF-8 sender":        {[]string{ehlo}, "MAIL FROM:<jürgen@x.example>", "553 5.6.7 the address needs SMTPUTF8"},
		"declared size":       {[]string{ehlo}, "MAIL FROM:<bob@x.example> SIZE=1001", "552 5.3.4 the message is larger than the server takes"},
		"unknown parameter":   {[]string{ehlo}, "MAIL FROM:<bob@x.example> XYZZY=1", "500 5.5.4 "},
		"REQUIRETLS, plain":   {[]string{ehlo}, "MAIL FROM:<bob@x.example> REQUIRETLS", "530 5.7.10 REQUIRETLS needs TLS: issue STARTTLS first"},
		"nested transaction":  {[]string{ehlo, mail}, mail, "503 5.5.1 a transaction runs already"},
		"STARTTLS within":     {[]string{ehlo, mail}, "STARTTLS", "503 5.5.1 a transaction runs already"},
		"STARTTLS argument":   {[]string{ehlo}, "STARTTLS now", "501 5.5.4 STARTTLS takes no argument"},
		"no greeting":         {nil, mail, "503 5.5.1 greet first: EHLO, or LHLO for LMTP"},
		"greeting of LMTP":    {nil, "LHLO mx.example", "500 5.5.1 This is not a LMTP server"},
		"greeting, no name":   {nil, "EHLO", "501 5.5.2 "},
		"password":            {[]string{ehlo}, "AUTH PLAIN AGEAYg==", "502 5.5.1 there are no passwords here: a client certificate or your network admits you"},
		"chunk":               {[]string{ehlo, mail}, "BDAT 3 LAST", "502 5.5.1 CHUNKING is not offered"},
		"no recipient":        {[]string{ehlo, mail}, "DATA", "502 5.5.1 Missing RCPT TO command."},
		"no sender":           {[]string{ehlo}, "RCPT TO:<ann@agency.example>", "502 5.5.1 Missing MAIL FROM command."},
		"unknown command":     {[]string{ehlo}, "XYZZY", "501 5.5.2 Bad command"},
		"bare LF":             {[]string{ehlo}, mail + "\nRCPT TO:<ann@agency.example>", "500 5.5.2 a command ends in CRLF and holds no other CR, LF or NUL"},
		"bare CR":             {[]string{ehlo}, mail + "\rDATA", "500 5.5.2 a command ends in CRLF and holds no other CR, LF or NUL"},
		"NUL":                 {[]string{ehlo}, "NOOP \x00", "500 5.5.2 a command ends in CRLF and holds no other CR, LF or NUL"},
		"long command":        {[]string{ehlo}, "NOOP " + strings.Repeat("x", lineSize), "500 5.5.6 the command is longer than 2048 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, SMTP, func(o *Options) { o.Limits.Recipients, o.Limits.MessageSize = 2, 1000 })
			r.boxes.checks = checks
			p := r.dial(t)
			p.want("220 ")
			for _, line := range test.before {
				p.expect(line, "250")
			}
			p.send(test.line + "\r\n")
			if got := p.reply(); got != test.want && (!strings.HasSuffix(test.want, " ") || !strings.HasPrefix(got, test.want)) {
				t.Errorf("reply %q, want %q", got, test.want)
			}
			if got := r.boxes.got(); len(got) != 0 {
				t.Errorf("delivered %+v", got)
			}
			if logs := r.logs.String(); strings.Contains(logs, "@") {
				t.Errorf("logs hold addresses:\n%s", logs)
			}
		})
	}
}

func TestMessagesAreRefusedWhole(t *testing.T) {
	t.Parallel()
	bare := "550 5.6.0 the message holds a CR or LF that is not part of a CRLF"
	for name, test := range map[string]struct{ content, want string }{
		"too large":  {strings.Repeat("x", 999) + "\r\n", "552 5.3.4 the message is larger than the server takes"},
		"loop":       {strings.Repeat("Received: x\r\n", 50) + strings.Repeat("RECEIVED : x\r\n", 51) + "\r\n", "554 5.4.6 the message holds more than 100 Received fields: it loops"},
		"LF . LF":    {"a\n.\nMAIL FROM:<evil@x.example>\r\n", bare},
		"LF . CRLF":  {"a\n.\r\nMAIL FROM:<evil@x.example>\r\n", bare},
		"CRLF . LF":  {"a\r\n.\nMAIL FROM:<evil@x.example>\r\n", bare},
		"CR . CR":    {"a\r.\rMAIL FROM:<evil@x.example>\r\n", bare},
		"CRLF . CR":  {"a\r\n.\rMAIL FROM:<evil@x.example>\r\n", bare},
		"CR . CRLF":  {"a\r.\r\nMAIL FROM:<evil@x.example>\r\n", bare},
		"bare LF":    {"a\nb\r\n", bare},
		"bare CR":    {"a\rb\r\n", bare},
		"CR CRLF":    {"a\r\r\n", bare},
		"LF at once": {"\na\r\n", bare},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, SMTP, func(o *Options) {
				o.Limits.MessageSize = 1000
				if name == "loop" {
					o.Limits.MessageSize = 5000
				}
			})
			p := r.dial(t)
			p.ready("ann@agency.example")
			p.expect("DATA", "354 ")
			p.send(test.content + ".\r\n")
			if got := p.reply(); got != test.want {
				t.Errorf("reply %q, want %q", got, test.want)
			}
			p.begin("ann@agency.example")
			p.expect("DATA", "354 ")
			p.send(stuffed(note))
			p.want("250 2.0.0 delivered, ")
			if got := r.boxes.got(); len(got) != 1 || body(t, got[0]) != note {
				t.Errorf("delivered %+v, want the message after it", got)
			}
		})
	}
}

func TestAMessageOfTheLargestSizeIsTaken(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP, func(o *Options) { o.Limits.MessageSize = int64(len(note)) })
	p := r.dial(t)
	p.ready("ann@agency.example")
	p.expect("DATA", "354 ")
	p.send(stuffed(note))
	p.want("250 2.0.0 delivered, ")
	if got := r.boxes.got(); len(got) != 1 || body(t, got[0]) != note {
		t.Errorf("messages %+v", got)
	}
}

func TestContentWithoutEndIsCutOff(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP, func(o *Options) { o.Limits.MessageSize = 1000 })
	p := r.dial(t)
	p.ready("ann@agency.example")
	p.expect("DATA", "354 ")
	p.send(strings.Repeat("x", 2*1000+2*lineSize))
	p.want("552 5.3.4 ")
	if got := r.boxes.got(); len(got) != 0 {
		t.Errorf("messages %+v", got)
	}
}

func TestMemoryIsShared(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP, func(o *Options) { o.Limits.MemorySize = readSize })
	p := r.dial(t)
	p.ready("ann@agency.example")
	for range 2 {
		p.expect("DATA", "354 ")
		p.send(strings.Repeat("x", readSize) + "\r\n.\r\n")
		p.want("452 4.3.1 too much mail is on its way, try again later")
		p.begin("ann@agency.example")
	}
	p.expect("DATA", "354 ")
	p.send(stuffed(note))
	p.want("250 ")
}

func TestCommandsMayBePipelined(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	r.boxes.checks["none@agency.example"] = delivery.ErrNoMailbox
	p := r.dial(t)
	p.want("220 ")
	p.send("EHLO mx.example\r\nMAIL FROM:<>\r\nRCPT TO:<ann@agency.example>\r\nRCPT TO:<none@agency.example>\r\nDATA\r\n")
	for _, want := range []string{"250-virginia.example", "250 ", "250 ", "550 5.1.1 ", "354 "} {
		p.want(want)
	}
	p.send(stuffed(note) + "MAIL FROM:<b@x.example>\r\nRCPT TO:<ann@agency.example>\r\nRSET\r\nQUIT\r\n")
	for _, want := range []string{"250 2.0.0 delivered", "250 ", "250 ", "250 ", "221 "} {
		p.want(want)
	}
	p.closed()
	got := r.boxes.got()
	if len(got) != 1 || got[0].envelope.From != "" || body(t, got[0]) != note {
		t.Errorf("messages %+v", got)
	}
}

func TestParametersReachTheEnvelope(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	p := r.dial(t)
	p.want("220 ")
	if err := p.startTLS(r.roots); err != nil {
		t.Fatal(err)
	}
	p.expect("EHLO mx.example", "250-")
	p.expect("MAIL FROM:<jürgen@x.example> SMTPUTF8 BODY=8BITMIME REQUIRETLS RET=HDRS ENVID=q+2B1 SIZE=100", "250 ")
	p.expect(`RCPT TO:<"ann lee"@AGENCY.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@x.example`, "250 ")
	p.expect("RCPT TO:<joe@agency.example> NOTIFY=NEVER", "250 ")
	p.expect("RCPT TO:<joe@agency.example>", "250 ")
	p.expect("DATA", "354 ")
	p.send(stuffed(note))
	p.want("250 ")
	got := r.boxes.got()
	if len(got) != 1 {
		t.Fatalf("messages %+v", got)
	}
	want := delivery.Envelope{
		From: "jürgen@x.example", ID: "q+1", Return: "HDRS", RequireTLS: true, SMTPUTF8: true,
		To: []delivery.Recipient{
			{Address: `"ann lee"@agency.example`, Notify: []string{"SUCCESS", "FAILURE"}, Original: "RFC822;a+b@x.example"},
			{Address: "joe@agency.example", Notify: []string{"NEVER"}},
		},
	}
	if diff := cmp.Diff(want, got[0].envelope); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if !strings.Contains(got[0].message, "with UTF8SMTPS id ") {
		t.Errorf("trace %q", got[0].message)
	}
	if since := time.Since(got[0].received); since < 0 || since > patience {
		t.Errorf("received %s", got[0].received)
	}
}

func TestLMTPRepliesForEachRecipient(t *testing.T) {
	t.Parallel()
	r := start(t, LMTP)
	r.boxes.set("full@agency.example", delivery.Result{Outcome: delivery.Failed, Reply: "552 5.2.2 the mailbox is full"})
	r.boxes.set("busy@agency.example", delivery.Result{Outcome: delivery.Deferred, Reply: "451 4.3.0 busy"})
	r.boxes.set("odd@agency.example", delivery.Result{Outcome: delivery.Failed, Reply: "250 2.0.0 fine"})
	p := r.dial(t)
	p.want("220 virginia.example LMTP")
	p.expect("EHLO mx.example", "500 5.5.1 This is a LMTP server, use LHLO")
	p.expect("LHLO mx.example", "250-virginia.example")
	p.begin("ann@agency.example", "full@agency.example", "busy@agency.example", "odd@agency.example", "ann@agency.example")
	p.expect("DATA", "354 ")
	p.send(stuffed(note))
	for _, want := range []string{
		"250 2.0.0 <ann@agency.example> delivered, ", "552 5.2.2 <full@agency.example> the mailbox is full", "451 4.3.0 <busy@agency.example> busy",
		"554 5.0.0 <odd@agency.example> the message was refused", "250 2.0.0 <ann@agency.example> delivered, ",
	} {
		p.want(want)
	}
	p.begin("ann@agency.example", "joe@agency.example")
	p.expect("DATA", "354 ")
	p.send("a\nb\r\n.\r\n")
	p.want("550 5.6.0 <ann@agency.example> ")
	p.want("550 5.6.0 <joe@agency.example> ")
	got := r.boxes.got()
	if len(got) != 1 || body(t, got[0]) != note || len(got[0].envelope.To) != 1 || !strings.Contains(got[0].message, "with LMTP id ") {
		t.Errorf("messages %+v", got)
	}
}

func TestRecipientsThatFareDifferentlyAreServedOneByOne(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	r.boxes.set("full@agency.example", delivery.Result{Outcome: delivery.Failed, Reply: "552 5.2.2 the mailbox is full"})
	r.boxes.set("busy@agency.example", delivery.Result{Outcome: delivery.Deferred, Reply: "451 4.3.0 busy"})
	p := r.dial(t)
	send := func(want string) {
		t.Helper()
		p.expect("DATA", "354 ")
		p.send(stuffed(note))
		p.want(want)
	}
	p.ready("ann@agency.example", "full@agency.example", "busy@agency.example")
	send("451 4.3.0 the recipients could not all be served: try again with one at a time")
	p.begin("ann@agency.example")
	p.expect("RCPT TO:<full@agency.example>", "452 4.5.3 one recipient at a time")
	send("250 2.0.0 delivered, ")
	p.begin("full@agency.example")
	send("552 5.2.2 the mailbox is full")
	p.begin("busy@agency.example")
	send("451 4.3.0 busy")
	r.boxes.set("busy@agency.example", delivery.Result{Outcome: delivery.Delivered})
	p.begin("busy@agency.example")
	send("250 2.0.0 delivered, ")
	var to []string
	for _, m := range r.boxes.got() {
		for _, recipient := range m.envelope.To {
			to = append(to, recipient.Address)
		}
	}
	if diff := cmp.Diff([]string{"ann@agency.example", "busy@agency.example"}, to); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	p.expect("MAIL FROM:<other@elsewhere.example>", "250 ")
	p.expect("RCPT TO:<ann@agency.example>", "250 ")
	p.expect("RCPT TO:<busy@agency.example>", "250 ")
	send("250 ")
}

func TestRecipientsThatFareAlikeHaveOneReply(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	for _, name := range []string{"ann", "joe"} {
		r.boxes.set(name+"@agency.example", delivery.Result{Outcome: delivery.Failed, Reply: "552 5.2.2 the mailbox is full"})
		r.boxes.set(name+"@down.example", delivery.Result{Outcome: delivery.Deferred, Reply: "not a reply"})
	}
	p := r.dial(t)
	p.ready("ann@agency.example", "joe@agency.example")
	for _, test := range [][3]string{
		{"552 5.2.2 the mailbox is full", "ann@down.example", "joe@down.example"},
		{"451 4.3.0 the mailbox cannot be reached, try again later", "ann@agency.example", "joe@agency.example"},
	} {
		p.expect("DATA", "354 ")
		p.send(stuffed(note))
		p.want(test[0])
		p.begin(test[1:]...)
	}
}
