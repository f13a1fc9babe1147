package corpus

import (
	"fmt"
	"strings"
)

func (g *generator) welcome() ([]letter, error) {
	from := Person{Name: "Bailiwick", Address: "noreply@bailiwick.example"}
	body := fmt.Sprintf("Hello %s,\n\nyour mailbox lives in the region that your organisation chose,\nand nowhere else.\n", g.owner.Name)
	return one(g.letter(from, "Your mailbox is ready", plain(body), field{"Auto-Submitted", "auto-generated"}))
}

// thread is a conversation of three letters joined by References (RFC 5322 3.6.4).
func (g *generator) thread() ([]letter, error) {
	subject := "Budget for the second quarter"
	lines := []string{
		"Could you look at the figures before Thursday?\n\nFrom what I see we are 4 % over.\n",
		"Looks right to me.\n\n> Could you look at the figures before Thursday?\n>\n> From what I see we are 4 % over.\n",
		"Then it is settled. I will send the final version tomorrow.\n",
	}
	var all []letter
	var references []string
	for i, line := range lines {
		var extra []field
		if i > 0 {
			subject = "Re: Budget for the second quarter"
			extra = []field{{"In-Reply-To", references[i-1]}, {"References", strings.Join(references, "\r\n ")}}
		}
		l := g.letter(g.other(i), subject, plain(line), extra...)
		references = append(references, l.id())
		all = append(all, l)
	}
	return all, nil
}

// alternative returns multipart/alternative of plain and HTML text.
func (g *generator) alternative(set charset, encoding, words string) (part, error) {
	short, err := text("plain", set, encoding, words+"\n")
	if err != nil {
		return part{}, err
	}
	rich, err := text("html", set, encoding, "<html><body><p>"+strings.ReplaceAll(words, "\n", "<br>\n")+"</p></body></html>\n")
	if err != nil {
		return part{}, err
	}
	return g.multipart("alternative", "", short, rich), nil
}

func (g *generator) newsletter() ([]letter, error) {
	from := Person{Name: "Le Journal du Matin", Address: "lettre@journal.example"}
	content, err := g.alternative(utf8Set, "quoted-printable", "À la une : le musée rouvre après dix ans de travaux.\nMétéo : éclaircies, 18 °C.")
	if err != nil {
		return nil, err
	}
	subject, err := utf8Set.word("À la une aujourd’hui")
	if err != nil {
		return nil, err
	}
	return one(g.letter(from, subject, content,
		field{"List-Unsubscribe", "<https://journal.example/off>, <mailto:off@journal.example>"},
		field{"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"}))
}

func (g *generator) report() ([]letter, error) {
	content := g.multipart("mixed", "",
		plain("The report is attached.\n"), attachment("application/pdf", "Q1 report.pdf", document("Quarterly report")))
	return one(g.letter(g.other(1), "Quarterly report", content))
}

func (g *generator) photo() ([]letter, error) {
	image, err := g.picture()
	if err != nil {
		return nil, err
	}
	inline := part{
		fields: []field{
			{"Content-Type", "image/png"},
			{"Content-ID", "<chart@bailiwick.example>"},
			{"Content-Disposition", "inline"},
			{"Content-Transfer-Encoding", "base64"},
		},
		body: base64Lines(image),
	}
	page, err := text("html", utf8Set, "quoted-printable", `<html><body><p>The chart:</p><img src="cid:chart@bailiwick.example"></body></html>`+"\n")
	if err != nil {
		return nil, err
	}
	related := g.multipart("related", ` type="text/html";`, page, inline)
	content := g.multipart("mixed", "", related, attachment("image/png", "Übersicht März.png", image))
	return one(g.letter(g.other(0), "Chart of the week", content))
}

func (g *generator) archive() ([]letter, error) {
	files, err := zipFile(map[string]string{"readme.txt": "Nothing to see here.\n", "data.csv": "a,b\n1,2\n"})
	if err != nil {
		return nil, err
	}
	content := g.multipart("mixed", "", plain("Both files, zipped.\n"), attachment("application/zip", "files.zip", files))
	return one(g.letter(g.other(2), "The files", content))
}

// accents uses the single-byte charsets and the encodings that go with them.
func (g *generator) accents() ([]letter, error) {
	samples := []struct {
		set      charset
		encoding string
		subject  string
		body     string
	}{
		{latin1, "quoted-printable", "Réunion déplacée", "La réunion est déplacée à 14 h.\nÀ demain !\n"},
		{latin9, "8bit", "Devis à 120 €", "Le devis est de 120 € hors taxes.\n"},
		{windows, "base64", "“Straße” statt “Strasse”", "Bitte „Straße“ schreiben – nicht „Strasse“.\n"},
	}
	var all []letter
	for i, s := range samples {
		content, err := text("plain", s.set, s.encoding, s.body)
		if err != nil {
			return nil, err
		}
		subject, err := s.set.word(s.subject)
		if err != nil {
			return nil, err
		}
		all = append(all, g.letter(g.other(i), subject, content))
	}
	return all, nil
}

// oldCharsets uses the multi-byte charsets.
func (g *generator) oldCharsets() ([]letter, error) {
	samples := []struct {
		set      charset
		encoding string
		subject  string
		body     string
	}{
		{cyrillic, "8bit", "Отчёт готов", "Отчёт готов, посмотрите его до пятницы.\n"},
		//nolint:gosmopolitan // the charset is for this script
		{japanese7, "7bit", "会議のお知らせ", "明日の会議は午後三時からです。\n"},
		//nolint:gosmopolitan // the charset is for this script
		{chinese, "base64", "会议通知", "明天下午三点开会。\n"},
	}
	var all []letter
	for i, s := range samples {
		content, err := text("plain", s.set, s.encoding, s.body)
		if err != nil {
			return nil, err
		}
		subject, err := s.set.word(s.subject)
		if err != nil {
			return nil, err
		}
		all = append(all, g.letter(g.other(i+1), subject, content))
	}
	return all, nil
}

// internationalHeaders carries raw UTF-8 in its header (RFC 6532).
func (g *generator) internationalHeaders() ([]letter, error) {
	content, err := text("plain", utf8Set, "8bit", "Γειά σου!\nשלום\nنلتقي غدًا ☕\n")
	if err != nil {
		return nil, err
	}
	l := g.letter(Person{Name: "Grete", Address: "grete@example.org"}, "Grüße aus Köln — καλημέρα", content)
	for i := range l.fields {
		if l.fields[i].name == "From" {
			l.fields[i].value = "Grete Müller <grete@example.org>"
		}
	}
	return one(l)
}

func (g *generator) mailingList() ([]letter, error) {
	list := []field{
		{"List-Id", "JMAP discussion <jmap.lists.example>"},
		{"List-Post", "<mailto:jmap@lists.example>"},
		{"List-Archive", "<https://lists.example/jmap/>"},
		{"Precedence", "list"},
		{"Sender", "jmap-bounces@lists.example"},
	}
	first := g.letter(g.other(0), "[jmap] Push without polling", plain("EventSource, or Web Push?\n"), list...)
	answer := append([]field{{"In-Reply-To", first.id()}, {"References", first.id()}}, list...)
	second := g.letter(g.other(1), "Re: [jmap] Push without polling", plain("Both: one for the desk, one for the pocket.\n"), answer...)
	return []letter{first, second}, nil
}

func (g *generator) signedContract() ([]letter, error) {
	from := g.other(1)
	content, err := text("plain", utf8Set, "quoted-printable", "The contract is as agreed – signed.\n")
	if err != nil {
		return nil, err
	}
	whole, err := g.signed(from, content)
	if err != nil {
		return nil, err
	}
	return one(g.letter(from, "Contract, signed", whole))
}

func (g *generator) emptyBody() ([]letter, error) {
	return one(g.letter(g.other(0), "(no text)", part{}))
}

// forwarded carries a whole message as message/rfc822.
func (g *generator) forwarded() ([]letter, error) {
	inner := g.letter(g.other(2), "Lunch on Friday?", plain("The new place at the corner, half past twelve?\n"))
	wrapped := part{fields: []field{{"Content-Type", "message/rfc822"}, {"Content-Disposition", "inline"}}, body: inner.bytes()}
	content := g.multipart("mixed", "", plain("See below.\n"), wrapped)
	return one(g.letter(g.other(0), "Fwd: Lunch on Friday?", content))
}
