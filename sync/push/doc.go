// Package push tells clients that are not connected what has changed: it keeps their
// push subscriptions (RFC 8620 §7.2) and sends state changes to the URLs that they
// name, as an application server of Web Push (RFC 8030) that encrypts (RFC 8291) and
// identifies itself (RFC 8292, RFC 9749). A push says which states are new and
// nothing else.
//
// Everything that is known about a subscription is in the store, in the range of the
// account that made it; an index lists the subscriptions of the region. Each replica
// follows all of them, and whoever sends takes a lease on the subscription first.
package push
