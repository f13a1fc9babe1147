package jmap

import "encoding/json"

// WebPushCapability is the URI of the capability that tells the key by which a server
// identifies itself to push services (RFC 9749 §3).
const WebPushCapability = "urn:ietf:params:jmap:webpush-vapid"

// MessagePushVerification is the @type of the first message to a push subscription
// (RFC 8620 §7.2.2).
const MessagePushVerification = "PushVerification"

// SubscriptionGetArguments are the arguments of PushSubscription/get (RFC 8620
// §7.2.1): those of a /get method without an account.
type SubscriptionGetArguments struct {
	// IDs is nil when all records are asked for. An id may be a creation id with "#".
	IDs []string `json:"ids"`
	// Properties is nil when all properties are asked for.
	Properties []string `json:"properties"`
}

// Validate checks the ids and maxObjectsInGet.
func (a *SubscriptionGetArguments) Validate(call *Call) error {
	if int64(len(a.IDs)) > call.Limits.MaxObjectsInGet {
		return tooLarge("maxObjectsInGet", call.Limits.MaxObjectsInGet)
	}
	return checkReferences("ids", a.IDs)
}

// SubscriptionGetResponse is the response of PushSubscription/get (RFC 8620 §7.2.1).
type SubscriptionGetResponse[T any] struct {
	List     List[T]      `json:"list"`
	NotFound List[string] `json:"notFound"`
}

// SubscriptionSetArguments are the arguments of PushSubscription/set (RFC 8620
// §7.2.2): those of a /set method without an account and a state.
type SubscriptionSetArguments struct {
	// Create is keyed by creation id.
	Create map[string]json.RawMessage `json:"create"`
	// Update is keyed by id, or by creation id with "#".
	Update map[string]PatchObject `json:"update"`
	// Destroy lists ids, or creation ids with "#".
	Destroy []string `json:"destroy"`
}

// Validate checks maxObjectsInSet and the syntax of ids.
func (a *SubscriptionSetArguments) Validate(call *Call) error {
	return checkSet(call, a.Create, a.Update, a.Destroy)
}

// SubscriptionSetResponse is the response of PushSubscription/set (RFC 8620 §7.2.2).
// Nil maps and lists encode as null.
type SubscriptionSetResponse struct {
	// Created is keyed by creation id; the values are what the client did not send.
	Created map[string]any `json:"created"`
	// Updated is keyed by id; a value is nil unless more changed than was asked for.
	Updated      map[string]any       `json:"updated"`
	Destroyed    []string             `json:"destroyed"`
	NotCreated   map[string]*SetError `json:"notCreated"`
	NotUpdated   map[string]*SetError `json:"notUpdated"`
	NotDestroyed map[string]*SetError `json:"notDestroyed"`
}
