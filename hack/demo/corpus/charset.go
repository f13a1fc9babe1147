package corpus

import (
	"encoding/base64"
	"fmt"
	"mime"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// charset is a character set with its name in MIME.
type charset struct {
	name  string
	table encoding.Encoding
}

var (
	utf8Set   = charset{"utf-8", unicode.UTF8}
	latin1    = charset{"iso-8859-1", charmap.ISO8859_1}
	latin9    = charset{"iso-8859-15", charmap.ISO8859_15}
	windows   = charset{"windows-1252", charmap.Windows1252}
	cyrillic  = charset{"koi8-r", charmap.KOI8R}
	japanese7 = charset{"iso-2022-jp", japanese.ISO2022JP}
	chinese   = charset{"gb18030", simplifiedchinese.GB18030}
)

// encode converts text, whose LF line ends become CRLF.
func (c charset) encode(s string) ([]byte, error) {
	raw, err := c.table.NewEncoder().Bytes(crlf(s))
	if err != nil {
		return nil, fmt.Errorf("charset %q: %w", c.name, err)
	}
	return raw, nil
}

// word returns a header value as RFC 2047 encoded words in this charset.
func (c charset) word(s string) (string, error) {
	if c == utf8Set {
		return mime.QEncoding.Encode("utf-8", s), nil
	}
	raw, err := c.encode(s)
	if err != nil {
		return "", err
	}
	return "=?" + c.name + "?B?" + base64.StdEncoding.EncodeToString(raw) + "?=", nil
}
