package smarthost

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// content is a message as it travels.
type content struct {
	octets   []byte
	eightBit bool
}

func (c *content) reader() io.Reader { return bytes.NewReader(c.octets) }

// readContent reads a message and ends each of its lines with CRLF. A message may hold a CR or LF alone, since people
// import what they have; sent like that, the next server might take "LF . LF" in it for its end and what follows for
// another message of ours (SMTP smuggling).
func readContent(r io.Reader, largest int64) (*content, error) {
	raw, err := io.ReadAll(io.LimitReader(r, largest+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > largest {
		return nil, delivery.ErrTooLarge
	}
	c := &content{octets: canonical(raw)}
	for _, octet := range raw {
		if octet >= utf8.RuneSelf {
			c.eightBit = true
			break
		}
	}
	return c, nil
}

// canonical writes each CR, LF and CRLF as CRLF, and ends the last line.
func canonical(raw []byte) []byte {
	out := make([]byte, 0, len(raw)+len(raw)/32+2)
	for i, octet := range raw {
		switch {
		case octet == '\n' && i > 0 && raw[i-1] == '\r':
		case octet == '\r' || octet == '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, octet)
		}
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, '\r', '\n')
	}
	return out
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// causeOf names why the host cannot be reached, in a word that holds no address.
func causeOf(err error) string {
	var refused *smtp.SMTPError
	var unverified x509.HostnameError
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &refused):
		return "refused"
	case errors.As(err, &authority):
		return "authority unknown"
	case errors.As(err, &unverified):
		return "certificate of another host"
	case errors.As(err, &dns):
		return "name not resolved"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	default:
		return "connection failed"
	}
}
