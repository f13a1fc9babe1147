package notice

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

var update = flag.Bool("update", false, "write the golden files anew")

var at = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const header = "From: Ann <ann@agency.us>\r\nTo: bob@far.example\r\nSubject: hello\r\n\r\n"

// reports are notices by the name of their golden file.
func reports() map[string]*Report {
	base := func(recipients ...Recipient) *Report {
		return &Report{
			From: "MAILER-DAEMON@mail.agency.us", To: "ann@agency.us", Date: at, MessageID: "n1@mail.agency.us", Boundary: "=_b",
			Host: "mail.agency.us", EnvelopeID: "e1", Arrival: at.Add(-time.Hour), Recipients: recipients, Original: []byte(header),
		}
	}
	failed := Recipient{
		Original: "rfc822;first@far.example", Final: "bob@far.example", Action: Failed, Status: "5.1.1", Reply: "550 5.1.1 no such user",
		Server: "mx.far.example", LastAttempt: at,
	}
	delayed := Recipient{Final: "carl@far.example", Action: Delayed, Status: "4.4.1", Reply: "451 4.4.1 no answer", RetryUntil: at.Add(96 * time.Hour)}
	whole := base(failed, delayed, Recipient{Final: "dora@agency.us", Action: Delivered, Status: "2.1.5", Reply: "250 2.1.5 delivered"})
	whole.Original, whole.Whole = []byte(header+"The text.\r\n"), true
	international := base(Recipient{Final: "jörg@far.example", Action: Relayed, Status: "2.0.0"})
	international.Original = []byte("Subject: grüße\r\n\r\n")
	bare := base(Recipient{Final: "team@far.example", Action: Expanded, Status: "2.0.0"})
	bare.EnvelopeID, bare.Arrival = "", time.Time{}
	return map[string]*Report{"header": base(failed), "whole": whole, "delayed": base(delayed), "international": international, "bare": bare}
}

func TestNoticesLookAsTheyShould(t *testing.T) {
	t.Parallel()
	for name, r := range reports() {
		got := string(Build(r))
		file := filepath.Join("testdata", name+".eml")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("golden file: %v: run the test with -update", err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNoticesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for name, r := range reports() {
		got := Parse(Build(r))
		want := &Report{Host: r.Host, EnvelopeID: r.EnvelopeID, Arrival: r.Arrival, Recipients: r.Recipients}
		if diff := cmp.Diff(Found{Report: want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNoticesHaveThreePartsForReaders(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"header":        {"text/plain", "message/delivery-status", "text/rfc822-headers"},
		"whole":         {"text/plain", "message/delivery-status", "message/rfc822"},
		"international": {"text/plain", "message/global-delivery-status", "message/global-headers"},
	} {
		var got []string
		for _, part := range message.Parse(Build(reports()[name])).Parts {
			got = append(got, part.Type)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestValuesStayWithinTheirLine(t *testing.T) {
	t.Parallel()
	r := reports()["header"]
	r.EnvelopeID = "e\r\nX: y"
	r.Recipients[0].Reply = "550 " + strings.Repeat("x", 2000) + "\r\nAction: delivered"
	got := Parse(Build(r)).Report
	if got.EnvelopeID != "e X: y" || len(got.Recipients) != 1 || got.Recipients[0].Action != Failed || len(got.Recipients[0].Reply) > maxLine {
		t.Errorf("the notice is %+v", got)
	}
}

func TestForeignNoticesAreRead(t *testing.T) {
	t.Parallel()
	report := func(kind, text string) []byte {
		return []byte("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/" + kind + "\r\n\r\n" + text + "\r\n--b--\r\n")
	}
	for name, c := range map[string]struct {
		data []byte
		want Found
	}{
		"comments, case and folding": {
			report("delivery-status", "reporting-mta: DNS; mx.x\nORIGINAL-ENVELOPE-ID:\n e 1\n\n\nFinal-Recipient: RFC822;\n bob@x\nAction: FAILED (gone)\nStatus: 5.0.0 (x)\n\nFinal-Recipient: rfc822; c@x\nAction: odd\n\nAction: failed\n"),
			Found{Report: &Report{Host: "mx.x", EnvelopeID: "e 1", Recipients: []Recipient{{Final: "bob@x", Action: Failed, Status: "5.0.0"}}}},
		},
		"disposition": {
			report("disposition-notification", "Original-Message-ID: <m@x>\r\nOriginal-Recipient: rfc822;a@x\r\nFinal-Recipient: rfc822;b@x\r\nDisposition: manual-action/MDN-sent-manually; Displayed/error\r\n"),
			Found{Disposition: &Disposition{MessageID: "m@x", Original: "a@x", Final: "b@x", Type: "displayed"}},
		},
		"nothing in it": {report("delivery-status", "\r\n"), Found{}},
		"another type":  {report("rfc822", "Action: failed"), Found{}},
		"no report":     {[]byte("Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: failed\r\n"), Found{}},
	} {
		if diff := cmp.Diff(c.want, Parse(c.data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range reports() {
		f.Add(Build(r))
	}
	f.Add([]byte("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/disposition-notification\n\nDisposition: ;/\n--b--"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		found := Parse(data)
		if found.Report == nil {
			return
		}
		for _, rcpt := range found.Report.Recipients {
			if rcpt.Final == "" || strings.ContainsAny(rcpt.Final+rcpt.Reply+rcpt.Status, "\r\n") {
				t.Errorf("recipient %+v", rcpt)
			}
		}
		// What was read can be written, and reads the same, but for what no field can hold.
		found.Report.Boundary, found.Report.MessageID = "=_boundary", "m@x"
		again := Parse(Build(found.Report))
		if again.Report == nil || len(again.Report.Recipients) != len(found.Report.Recipients) {
			t.Errorf("written and read: %+v, was %+v", again.Report, found.Report)
		}
	})
}
