// Package server is the HTTPS face of the sync server: JMAP's session, API, upload,
// download and event source resources (RFC 8620), protected-resource metadata
// (RFC 9728), health, metrics, and a serving certificate that is replaced while
// connections stay open.
package server
