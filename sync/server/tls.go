package server

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"regexp"

	stdlog "log"
)

// tlsConfig is the server's side of TLS: forward secrecy and authenticated encryption
// only, HTTP/2 preferred.
func (s *Server) tlsConfig() *tls.Config {
	return tlsConfig(s.options.Certificates, s.options.MinimumTLS)
}

func tlsConfig(certificates *Certificates, minimum uint16) *tls.Config {
	return &tls.Config{
		MinVersion:     cmp.Or(minimum, tls.VersionTLS12),
		GetCertificate: certificates.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
		// For TLS 1.2; those of TLS 1.3 are not configurable.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}

var addressPattern = regexp.MustCompile(`[\[\]0-9A-Fa-f.:%]+`)

// connectionLog takes what net/http logs of single connections, such as failed
// handshakes, at debug level and without the addresses of clients.
func connectionLog(logger *slog.Logger) *stdlog.Logger {
	return stdlog.New(connectionWriter{logger: logger}, "", 0)
}

type connectionWriter struct {
	logger *slog.Logger
}

// Write logs one line.
func (w connectionWriter) Write(line []byte) (int, error) {
	text := addressPattern.ReplaceAllStringFunc(string(line), func(word string) string {
		if _, err := netip.ParseAddrPort(trimColon(word)); err == nil {
			return "client:"
		}
		return word
	})
	w.logger.Debug("connection", slog.String("error", text))
	return len(line), nil
}

func trimColon(word string) string {
	if n := len(word); n > 0 && word[n-1] == ':' {
		return word[:n-1]
	}
	return word
}
