// Package jmap is JMAP Core (RFC 8620) without HTTP: the session object, requests
// and their strict parsing, batching with back-references, the argument and
// response types of the standard methods, and the seams to authentication, mail
// data, blobs and push. Package server carries it over HTTPS.
package jmap
