// Package operator assembles the control plane of Bailiwick: a manager with the
// controllers of the clouds, regions and tenants, a cache that holds only what is
// ours, leader election, health and metrics.
package operator
