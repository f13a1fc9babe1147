package jmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// WebSocketCapability is the URI of JMAP over WebSocket (RFC 8887 §3).
const WebSocketCapability = "urn:ietf:params:jmap:websocket"

// Values of "@type" of the messages over a WebSocket (RFC 8887 §4.3).
const (
	MessageRequest     = "Request"
	MessageResponse    = "Response"
	MessageError       = "RequestError"
	MessagePushEnable  = "WebSocketPushEnable"
	MessagePushDisable = "WebSocketPushDisable"
	MessageStateChange = "StateChange"
)

// Message is what a client sends over a WebSocket (RFC 8887 §4.3).
type Message struct {
	// Type is MessageRequest, MessagePushEnable or MessagePushDisable.
	Type string
	// ID is the client's identifier of the message, nil when there is none. Answers
	// repeat it.
	ID *string
	// Request is set for a MessageRequest.
	Request *Request
	// Push is set for a MessagePushEnable.
	Push *PushOrder
}

// PushOrder tells what a client wants to be told of (RFC 8887 §4.3.5.2).
type PushOrder struct {
	// Types are names of data types; nil means all.
	Types []string
	// State is the last pushState that the client received, nil when it gives none.
	State *string
}

// ParseMessage parses what a client sent over a WebSocket. With a problem, the
// message has no more than the ID, which the answer must repeat, as far as it could
// be read.
func ParseMessage(body []byte) (*Message, *Problem) {
	if err := checkIJSON(body); err != nil {
		return &Message{ID: MessageID(body)}, &Problem{Type: ProblemNotJSON, Status: http.StatusBadRequest, Detail: "the message is not I-JSON (RFC 7493): " + err.Error()}
	}
	members, err := envelope(body)
	m := &Message{ID: stringOf(members["id"])}
	if err == nil {
		err = m.decode(body, members)
	}
	if err != nil {
		return &Message{ID: m.ID}, &Problem{Type: ProblemNotRequest, Status: http.StatusBadRequest, Detail: "the message is none of RFC 8887 §4.3: " + err.Error()}
	}
	return m, nil
}

// MessageID returns the client's identifier of a message that cannot be parsed, such
// as one that is cut off, or nil when it cannot be read.
func MessageID(body []byte) *string {
	// What was read before the error counts.
	members, _ := envelope(body)
	return stringOf(members["id"])
}

// EncodeResponse turns an encoded Response object into the message that answers the
// request with an identifier (RFC 8887 §4.3.3).
func EncodeResponse(id *string, answer []byte) ([]byte, error) {
	head, err := json.Marshal(struct {
		Type      string  `json:"@type"`
		RequestID *string `json:"requestId,omitempty"`
	}{MessageResponse, id})
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	if len(answer) < 2 || answer[0] != '{' {
		return nil, errors.New("encode response: not an object")
	}
	message := make([]byte, 0, len(head)+len(answer))
	message = append(message, head[:len(head)-1]...)
	message = append(message, ',')
	return append(message, answer[1:]...), nil
}

// EncodeRequestError turns a problem into the message that refuses the message with
// an identifier (RFC 8887 §4.3.4).
func EncodeRequestError(id *string, problem *Problem) ([]byte, error) {
	raised := *problem
	raised.Fields = map[string]any{"@type": MessageError}
	maps.Copy(raised.Fields, problem.Fields)
	if id != nil {
		raised.Fields["requestId"] = *id
	}
	return raised.MarshalJSON()
}

// envelopeMembers are what a message has beside the members of a Request object.
var envelopeMembers = map[string]bool{"@type": true, "id": true, "dataTypes": true, "pushState": true}

// envelope reads the envelopeMembers of a message. With an error, it returns those
// before it.
func envelope(body jsontext.Value) (map[string]jsontext.Value, error) {
	members := map[string]jsontext.Value{}
	if body.Kind() != jsontext.KindBeginObject {
		return members, errors.New("not an object")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := dec.ReadToken(); err != nil {
		return members, err
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return members, err
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return members, err
		}
		if envelopeMembers[name] {
			members[name] = bytes.Clone(value)
		}
	}
	return members, nil
}

// stringOf returns the string that a value is, or nil.
func stringOf(raw jsontext.Value) *string {
	value, err := decodeString(raw)
	if err != nil {
		return nil
	}
	return &value
}

func (m *Message) decode(body []byte, members map[string]jsontext.Value) error {
	if _, present := members["id"]; present && m.ID == nil {
		return errors.New("id: not a string")
	}
	kind := stringOf(members["@type"])
	if kind == nil {
		return errors.New("@type: missing or not a string")
	}
	m.Type = *kind
	switch m.Type {
	case MessageRequest:
		m.Request = &Request{}
		return m.Request.decode(body)
	case MessagePushEnable:
		m.Push = &PushOrder{}
		return m.Push.decode(members)
	case MessagePushDisable:
		return nil
	default:
		return fmt.Errorf("@type: send %q, %q or %q", MessageRequest, MessagePushEnable, MessagePushDisable)
	}
}

func (o *PushOrder) decode(members map[string]jsontext.Value) error {
	types, present := members["dataTypes"]
	if !present {
		return errors.New("dataTypes: missing, give names of types, or null for all")
	}
	if types.Kind() != jsontext.KindNull {
		names, err := decodeStrings(types)
		if err != nil {
			return fmt.Errorf("dataTypes: %w", err)
		}
		// An empty list is none, nil is all.
		o.Types = append([]string{}, names...)
	}
	if state, present := members["pushState"]; present {
		if o.State = stringOf(state); o.State == nil {
			return errors.New("pushState: not a string")
		}
	}
	return nil
}
