package region

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxDSNBytes bounds what is parsed; a connection string has a few hundred bytes.
	maxDSNBytes = 8 << 10
	// portPostgres is where PostgreSQL listens when the DSN names no port.
	portPostgres = 5432

	sslModeVerifyFull = "verify-full"

	adviceDSN = "write postgres://…@host/database?sslmode=verify-full, with user and password before the @"
)

// parseDSN gives the ports of the databases that a connection string leads to, sorted,
// each once. It refuses what the sync server would refuse: a string that is none, that
// names no host, or that lets mail travel unencrypted or to a server that is not known.
// Both forms are read, postgres:// and words such as host=… (PostgreSQL documentation,
// §34.1.1). No error repeats a part of the string: it holds a password.
func parseDSN(raw []byte) ([]int32, error) {
	text := strings.TrimSpace(string(raw))
	switch {
	case text == "":
		return nil, errors.New("is empty: " + adviceDSN)
	case len(text) > maxDSNBytes:
		return nil, fmt.Errorf("has %d bytes, more than %d: %s", len(text), maxDSNBytes, adviceDSN)
	}
	hosts, settings, err := splitDSN(text)
	if err != nil {
		return nil, err
	}
	if settings["service"] != "" {
		return nil, errors.New("names a service, which is a file: write the host itself")
	}
	return portsOf(hosts, settings)
}

// address is one host of a DSN; port is empty when it is not named beside it.
type address struct{ host, port string }

// splitDSN gives the hosts of a DSN and its other settings.
func splitDSN(text string) ([]address, map[string]string, error) {
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(text, scheme); ok {
			return splitURI(rest)
		}
	}
	settings, err := splitWords(text)
	if err != nil {
		return nil, nil, err
	}
	return withPorts(settings["host"], settings["port"]), settings, nil
}

// splitURI reads what follows postgres://.
func splitURI(rest string) ([]address, map[string]string, error) {
	unreadable := errors.New("cannot be read: percent-encode what is special in the user, the password and the database, and " + adviceDSN)
	if strings.ContainsAny(rest, "# \t\r\n") {
		return nil, nil, unreadable
	}
	rest, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, nil, unreadable
	}
	settings := make(map[string]string, len(values))
	for name, list := range values {
		settings[name] = list[len(list)-1]
	}
	authority, _, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	if settings["host"] != "" {
		return withPorts(settings["host"], settings["port"]), settings, nil
	}
	var hosts []address
	for part := range strings.SplitSeq(authority, ",") {
		host, port := splitPort(part)
		if host, err = url.PathUnescape(host); err != nil {
			return nil, nil, unreadable
		}
		if port == "" {
			port = settings["port"]
		}
		hosts = append(hosts, address{host, port})
	}
	return hosts, settings, nil
}

// splitPort takes the port off a host, which may be an IPv6 address in brackets.
func splitPort(part string) (host, port string) {
	if inner, ok := strings.CutPrefix(part, "["); ok {
		host, port, _ = strings.Cut(inner, "]")
		return host, strings.TrimPrefix(port, ":")
	}
	host, port, _ = strings.Cut(part, ":")
	return host, port
}

// withPorts gives each of the hosts its port: one port is that of all of them.
func withPorts(hosts, ports string) []address {
	ported := strings.Split(ports, ",")
	var list []address
	for i, host := range strings.Split(hosts, ",") {
		a := address{host: host, port: ported[0]}
		if len(ported) > 1 && i < len(ported) {
			a.port = ported[i]
		}
		list = append(list, a)
	}
	return list
}

// splitWords reads name=value words; a value may stand in single quotes, in which a
// backslash protects the next character.
func splitWords(text string) (map[string]string, error) {
	settings := map[string]string{}
	for rest := text; rest != ""; rest = strings.TrimLeft(rest, " \t\r\n") {
		name, after, ok := strings.Cut(rest, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t\r\n'\\") {
			return nil, errors.New("is no connection string: " + adviceDSN)
		}
		value, left, ok := word(strings.TrimLeft(after, " \t"))
		if !ok {
			return nil, errors.New("has a quote that does not end: close it, or " + adviceDSN)
		}
		settings[name], rest = value, left
	}
	return settings, nil
}

// word takes one value off the text.
func word(text string) (value, rest string, ok bool) {
	quoted := strings.HasPrefix(text, "'")
	text = strings.TrimPrefix(text, "'")
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case quoted && c == '\'':
			return b.String(), text[i+1:], true
		case !quoted && strings.IndexByte(" \t\r\n", c) >= 0:
			return b.String(), text[i:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}

// portsOf checks each host and gives the ports that have to be reached.
func portsOf(hosts []address, settings map[string]string) ([]int32, error) {
	var ports []int32
	for _, a := range hosts {
		if a.host == "" {
			return nil, errors.New("names no host: " + adviceDSN)
		}
		if onThisMachine(a.host) {
			continue
		}
		if settings["sslmode"] != sslModeVerifyFull {
			return nil, errors.New("lets the connection be weaker than sslmode=verify-full: set sslmode=verify-full, and sslrootcert for an authority of your own")
		}
		port, err := strconv.ParseUint(a.port, 10, 16)
		if a.port == "" {
			port, err = portPostgres, nil
		}
		if err != nil || port == 0 {
			return nil, errors.New("names a port that is none: write a number from 1 to 65535")
		}
		ports = append(ports, int32(port))
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// onThisMachine tells whether a host is a Unix socket or a loopback address: such a
// connection leaves no machine.
func onThisMachine(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
