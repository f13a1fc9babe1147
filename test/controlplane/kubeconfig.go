package controlplane

import (
	"encoding/base64"
	"strings"
)

// kubeconfig writes the client configuration of one user, self-contained: it
// refers to no file, and runs nothing.
func kubeconfig(server, user string, ca []byte, pair keyPair) []byte {
	encode := base64.StdEncoding.EncodeToString
	lines := []string{
		"apiVersion: v1",
		"kind: Config",
		"current-context: bailiwick",
		"clusters:",
		"- name: bailiwick",
		"  cluster:",
		"    server: " + server,
		"    certificate-authority-data: " + encode(ca),
		"contexts:",
		"- name: bailiwick",
		"  context:",
		"    cluster: bailiwick",
		"    user: " + quoteYAML(user),
		"users:",
		"- name: " + quoteYAML(user),
		"  user:",
		"    client-certificate-data: " + encode(pair.certificate),
		"    client-key-data: " + encode(pair.key),
		"",
	}
	return []byte(strings.Join(lines, "\n"))
}

// quoteYAML quotes a scalar in YAML's single quotes, in which only the quote
// itself has a meaning.
func quoteYAML(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
