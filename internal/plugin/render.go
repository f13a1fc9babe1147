package plugin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// painter writes for people; it colours words if it shall.
type painter struct{ colour bool }

// The parameters of SGR (ECMA-48 §8.3.117) that are used.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	faint  = "2"
)

func (p painter) paint(parameter, s string) string {
	if !p.colour || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + parameter + "m" + s + "\x1b[0m"
}

// status paints text by a status.
func (p painter) status(s metav1.ConditionStatus, text string) string {
	switch s {
	case metav1.ConditionTrue:
		return p.paint(green, text)
	case metav1.ConditionFalse:
		return p.paint(red, text)
	default:
		return p.paint(yellow, text)
	}
}

// trees writes why what is not ready is not, and then the trees.
func (p painter) trees(trees []Node) []byte {
	var b bytes.Buffer
	for _, c := range causesOf(trees) {
		for _, path := range c.paths {
			fmt.Fprintln(&b, p.paint(bold, path))
		}
		fmt.Fprintf(&b, "  %s %s\n", p.status(c.node.Ready, strings.TrimSpace(string(c.node.Ready)+" "+c.node.Reason)), "— "+plain(c.node.Message))
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	var rows []row
	for i := range trees {
		rows = append(rows, rowsOf(&trees[i], "", "")...)
	}
	p.table(&b, rows)
	return b.Bytes()
}

// row is a line of the trees.
type row struct {
	title  string
	node   *Node
	ready  string
	reason string
	detail string
}

// rowsOf gives the lines of a node, its own behind first and those of what it rests on
// behind rest.
func rowsOf(n *Node, first, rest string) []row {
	rows := []row{{title: first + plain(n.title()), node: n, ready: string(n.Ready), reason: plain(n.Reason), detail: plain(n.Detail)}}
	for i := range n.Children {
		branch, beyond := "├─ ", "│  "
		if i == len(n.Children)-1 {
			branch, beyond = "└─ ", "   "
		}
		rows = append(rows, rowsOf(&n.Children[i], rest+branch, rest+beyond)...)
	}
	return rows
}

// table writes rows in columns.
func (p painter) table(b *bytes.Buffer, rows []row) {
	head := row{title: "OBJECT", ready: "READY", reason: "REASON", detail: "DETAIL"}
	var title, ready, reason int
	for _, r := range append([]row{head}, rows...) {
		title, ready, reason = max(title, width(r.title)), max(ready, width(r.ready)), max(reason, width(r.reason))
	}
	write := func(cells ...string) {
		b.WriteString(strings.TrimRight(strings.Join(cells, "  "), " "))
		b.WriteByte('\n')
	}
	write(pad(head.title, title), pad(head.ready, ready), pad(head.reason, reason), head.detail)
	for _, r := range rows {
		status := r.node.Ready
		write(pad(r.title, title), p.status(status, pad(r.ready, ready)), p.status(status, pad(r.reason, reason)), p.paint(faint, r.detail))
	}
}

// width is how many characters a text has.
func width(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, to int) string { return s + strings.Repeat(" ", to-width(s)) }

// plain leaves out what would steer a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
}

// cause is a node that is not as declared, with the ways to all that are so for the
// same reason.
type cause struct {
	paths []string
	node  *Node
}

// causesOf are the nodes that say why they are not as declared, the deepest first: what
// to look at.
func causesOf(trees []Node) []cause {
	var found []cause
	known := map[[3]string]int{}
	add := func(path string, n *Node) {
		why := [3]string{string(n.Ready), n.Reason, n.Message}
		i, ok := known[why]
		if !ok {
			i = len(found)
			known[why] = i
			found = append(found, cause{node: n})
		}
		found[i].paths = append(found[i].paths, path)
	}
	for i := range trees {
		trees[i].visit("", add)
	}
	return found
}

// visit adds the causes below a node, and the node itself unless it repeats what one of
// them says. It gives what they say.
func (n *Node) visit(path string, add func(path string, n *Node)) []string {
	path += plain(n.title())
	var told []string
	for i := range n.Children {
		told = append(told, n.Children[i].visit(path+" > ", add)...)
	}
	if n.Ready != metav1.ConditionTrue && n.Message != "" && !slices.Contains(told, n.Message) {
		add(path, n)
		told = append(told, n.Message)
	}
	return told
}
