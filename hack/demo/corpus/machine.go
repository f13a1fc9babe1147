package corpus

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
	"time"
)

// icsTime is the UTC date-time of iCalendar (RFC 5545 section 3.3.5).
const icsTime = "20060102T150405Z"

// invitation is an iTIP request (RFC 6047): a calendar part among the alternatives,
// and the same calendar as a file.
func (g *generator) invitation() ([]letter, error) {
	from := g.other(0)
	begin := g.clock.Add(7 * 24 * time.Hour).Truncate(time.Hour)
	calendar := fmt.Sprintf("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Bailiwick//Demonstration//EN\nMETHOD:REQUEST\n"+
		"BEGIN:VEVENT\nUID:%016x@bailiwick.example\nDTSTAMP:%s\nDTSTART:%s\nDTEND:%s\nSUMMARY:Quarterly planning\n"+
		"ORGANIZER;CN=%s:mailto:%s\nATTENDEE;RSVP=TRUE:mailto:%s\nEND:VEVENT\nEND:VCALENDAR\n",
		g.random.Uint64(), g.clock.Format(icsTime), begin.Format(icsTime), begin.Add(time.Hour).Format(icsTime),
		from.Name, from.Address, g.owner.Address)
	event, err := text("calendar; method=REQUEST", utf8Set, "8bit", calendar)
	if err != nil {
		return nil, err
	}
	choices := g.multipart("alternative", "", plain("Quarterly planning, one hour.\n"), event)
	content := g.multipart("mixed", "", choices, attachment("application/ics", "invite.ics", crlf(calendar)))
	return one(g.letter(from, "Invitation: Quarterly planning", content))
}

// bounce is a delivery status notification (RFC 3464).
func (g *generator) bounce() ([]letter, error) {
	from := Person{Name: "Mail Delivery System", Address: "mailer-daemon@bailiwick.example"}
	status := part{
		fields: []field{{"Content-Type", "message/delivery-status"}},
		body: crlf("Reporting-MTA: dns; mx.bailiwick.example\n\nFinal-Recipient: rfc822; nobody@example.org\n" +
			"Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n"),
	}
	original := part{
		fields: []field{{"Content-Type", "text/rfc822-headers"}},
		body:   crlf(fmt.Sprintf("From: %s\nTo: nobody@example.org\nSubject: Are you there?\n", mailbox(g.owner))),
	}
	content := g.multipart("report", " report-type=delivery-status;",
		plain("Your message could not be delivered to nobody@example.org.\n"), status, original)
	return one(g.letter(from, "Undelivered mail returned to sender", content, field{"Auto-Submitted", "auto-replied"}))
}

// document returns a one-page PDF file.
func document(title string) []byte {
	stream := fmt.Sprintf("BT /F1 24 Tf 72 720 Td (%s) Tj ET", title)
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(stream), stream),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, 0, len(objects))
	for i, object := range objects {
		offsets = append(offsets, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	start := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&out, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return out.Bytes()
}

// picture returns a PNG bar chart. It is not compressed, so that its bytes do not
// depend on the compressor of a Go release.
func (g *generator) picture() ([]byte, error) {
	const width, height, bar = 64, 32, 8
	canvas := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.White, color.RGBA{R: 0x1f, G: 0x5f, B: 0x8b, A: 0xff}})
	for x := range width {
		if x%bar == 0 {
			continue
		}
		top := int(g.owner.Address[x/bar%len(g.owner.Address)]) % height
		for y := top; y < height; y++ {
			canvas.SetColorIndex(x, y, 1)
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.NoCompression}
	if err := encoder.Encode(&out, canvas); err != nil {
		return nil, fmt.Errorf("draw picture: %w", err)
	}
	return out.Bytes(), nil
}

// zipFile packs files, stored for the same reason.
func zipFile(files map[string]string) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: epoch})
		if err != nil {
			return nil, fmt.Errorf("pack %q: %w", name, err)
		}
		if _, err := file.Write([]byte(files[name])); err != nil {
			return nil, fmt.Errorf("pack %q: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}
