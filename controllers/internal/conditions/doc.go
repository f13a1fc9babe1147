// Package conditions makes the conditions of every kind from what its controller
// found, in one order and by one rule: Ready, Reconciling and Stalled are derived
// (kstatus), never set by hand, and nothing moves while nothing changes.
package conditions
