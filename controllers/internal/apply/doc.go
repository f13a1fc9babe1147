// Package apply is the one writer of the controllers. What a controller decided
// comes in as a Plan; the Writer compares it with what is there, sends what
// differs by server-side apply, deletes what is no longer wanted, patches the
// status when it says something new, and counts each request that it sends.
//
// A plan that already holds costs no request at all.
package apply
