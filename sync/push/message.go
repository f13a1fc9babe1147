package push

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// typeDelivery is the data type whose state changes when mail arrives (RFC 8621 §1.5).
const typeDelivery = "EmailDelivery"

// message is one message to a subscription.
type message struct {
	kind string
	body []byte
	// changed is what a state change tells; nil for a verification.
	changed states
	urgency string
	topic   string
}

// verification is the first message to a subscription (RFC 8620 §7.2.2).
func verification(sub *subscription) (*message, error) {
	body, err := json.Marshal(map[string]string{"@type": jmap.MessagePushVerification, "pushSubscriptionId": sub.ID, "verificationCode": sub.Code})
	if err != nil {
		return nil, fmt.Errorf("encode push verification: %w", err)
	}
	return &message{kind: jmap.MessagePushVerification, body: body, urgency: "high"}, nil
}

// stateChange is the message that tells what current has and told has not, or nil when
// that is nothing (RFC 8620 §7.1). What does not fit one message is left for the next.
func stateChange(sub *subscription, told, current states) (*message, error) {
	changed := states{}
	var body []byte
	for _, account := range slices.Sorted(maps.Keys(current)) {
		differs := difference(sub.Types, told[account], current[account])
		if len(differs) == 0 {
			continue
		}
		changed[account] = differs
		longer, err := json.Marshal(struct {
			Type    string `json:"@type"`
			Changed states `json:"changed"`
		}{jmap.MessageStateChange, changed})
		if err != nil {
			return nil, fmt.Errorf("encode state change: %w", err)
		}
		if len(longer) > maxPlain && body != nil {
			delete(changed, account)
			break
		}
		body = longer
	}
	if body == nil {
		return nil, nil //nolint:nilnil // nothing to tell is no error
	}
	return &message{kind: jmap.MessageStateChange, body: body, changed: changed, urgency: urgency(changed), topic: topic(changed)}, nil
}

// difference is what current has and told has not, of some types or all.
func difference(types []string, told, current map[string]string) map[string]string {
	differs := map[string]string{}
	for name, state := range current {
		if told[name] != state && (types == nil || slices.Contains(types, name)) {
			differs[name] = state
		}
	}
	return differs
}

// urgency lets new mail through to a device that saves power (RFC 8030 §5.3).
func urgency(changed states) string {
	for _, types := range changed {
		if _, ok := types[typeDelivery]; ok {
			return "high"
		}
	}
	return "normal"
}

// topic names what is told (RFC 8030 §5.4). A message takes the place of one that waits
// for the device only if it tells newer states of the very same types: each message
// tells what changed since the one before, so that no other may be dropped.
func topic(changed states) string {
	var names []string
	for account, types := range changed {
		for name := range types {
			names = append(names, account+"/"+name)
		}
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		_, _ = h.Write([]byte(name + "\n"))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:24])
}

// request makes the headers and the body of the POST request (RFC 8620 §7.2).
func (m *message) request(sub *subscription, authorization string, now time.Time) (http.Header, []byte, error) {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("TTL", strconv.FormatInt(int64(sub.Expires.Sub(now).Seconds()), 10))
	header.Set("Urgency", m.urgency)
	header.Set("Authorization", authorization)
	if m.topic != "" {
		header.Set("Topic", m.topic)
	}
	if sub.Keys == nil {
		return header, m.body, nil
	}
	header.Set("Content-Encoding", "aes128gcm")
	sealed, err := seal(m.body, sub.Keys)
	return header, sealed, err
}
