package bench

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkDeliver brings mail for one mailbox in by LMTP (RFC 2033) on several connections, beside the peer: each
// message is acknowledged when it is durable.
func BenchmarkDeliver(b *testing.B) {
	list := messages(2000)
	r := startRegion(b, 1)
	_ = r.user(b, 0, "user") // the mailbox is there before its mail
	ours := deliverAll(b, r.lmtp, "user@agency.example", list)
	peer := startCyrus(b)
	_ = peer.mailbox(b, "user")
	theirs := deliverAll(b, peer.lmtp, "user", list)
	b.ReportMetric(ours, "deliver_per_s")
	b.ReportMetric(theirs, "peer_deliver_per_s")
	b.ReportMetric(ours/theirs, "deliver_per_s_vs_peer")
}

// deliverAll returns how many messages a server takes in a second.
func deliverAll(b *testing.B, address, recipient string, list [][]byte) float64 {
	b.Helper()
	const connections = 8
	work := make(chan []byte)
	failed := make(chan error, connections)
	var group sync.WaitGroup
	begin := time.Now()
	for range connections {
		group.Go(func() {
			if err := deliver(address, recipient, work); err != nil {
				failed <- err
				for range work { // drained, so that nobody waits for this connection
				}
			}
		})
	}
	for _, m := range list {
		work <- m
	}
	close(work)
	group.Wait()
	took := time.Since(begin)
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
	return float64(len(list)) / took.Seconds()
}

// deliver brings messages in on one connection.
func deliver(address, recipient string, work <-chan []byte) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	say := func(line, want string) error {
		if line != "" {
			if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
				return err
			}
		}
		for {
			reply, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			if !strings.HasPrefix(reply, want) {
				return fmt.Errorf("LMTP: %q to %.80q", reply, line)
			}
			if reply[3] == ' ' {
				return nil
			}
		}
	}
	if err := say("", "220"); err != nil {
		return err
	}
	if err := say("LHLO bench.example", "250"); err != nil {
		return err
	}
	for m := range work {
		body := strings.ReplaceAll(string(m), "\r\n.", "\r\n..")
		for _, step := range [][2]string{
			{"MAIL FROM:<sender@partner.example>", "250"}, {"RCPT TO:<" + recipient + ">", "250"}, {"DATA", "354"}, {body + ".", "250"},
		} {
			if err := say(step[0], step[1]); err != nil {
				return err
			}
		}
	}
	return say("QUIT", "221")
}
