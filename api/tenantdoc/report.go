package tenantdoc

import (
	"encoding/json"
	"fmt"
)

// Report is what one sync replica says about the tenants of its shard. It carries
// no time, so that an unchanged replica writes nothing.
type Report struct {
	// Version is the format version.
	Version string `json:"version"`
	// Replica is the pod name of the writer.
	Replica string `json:"replica"`
	// SyncVersion is the release of the sync server.
	SyncVersion string `json:"syncVersion"`
	// BytesStored is the size of the replica's store. It is told in shard 0 only.
	BytesStored int64 `json:"bytesStored,omitempty"`
	// Storage tells of each part of the replica's store, sorted by cell; empty while
	// the replica has not tried it. It is told in shard 0 only.
	Storage []CellReport `json:"storage,omitempty"`
	// Tenants tells of each tenant of the shard, by "namespace/name".
	Tenants map[string]TenantReport `json:"tenants"`
}

// TenantReport is what a replica enforces for one tenant.
type TenantReport struct {
	// UID is the UID of the tenant whose document is enforced.
	UID string `json:"uid,omitempty"`
	// Generation is the generation enforced now; 0 while none is.
	Generation int64 `json:"generation,omitempty"`
	// Refused says why a newer document is not enforced, empty when the newest is.
	Refused string `json:"refused,omitempty"`
	// KeysError says why the issuer's signing keys could not be fetched, empty when
	// they could.
	KeysError string `json:"keysError,omitempty"`
	// Mailboxes and Devices count what the replica's region holds for the tenant.
	Mailboxes int64 `json:"mailboxes,omitempty"`
	Devices   int64 `json:"devices,omitempty"`
}

// Cells of a store that are not databases. The name of a database's cell is that of
// its DSN file.
const (
	// CellEmbedded is the embedded store.
	CellEmbedded = "embedded"
	// CellBlobs is the object storage.
	CellBlobs = "blobs"
)

// CellState says in one word how a part of the store is.
type CellState string

// The states of a cell.
const (
	// CellReady can be read and written.
	CellReady CellState = "Ready"
	// CellAuthenticationFailed refuses the user, the password or the key.
	CellAuthenticationFailed CellState = "AuthenticationFailed"
	// CellUnreachable does not answer.
	CellUnreachable CellState = "Unreachable"
	// CellUnsupportedVersion runs a version, or holds a format, that the replica
	// cannot work with.
	CellUnsupportedVersion CellState = "UnsupportedVersion"
	// CellDiskFull has no space left.
	CellDiskFull CellState = "DiskFull"
	// CellReadOnly takes no writes.
	CellReadOnly CellState = "ReadOnly"
	// CellFailed cannot be used for the reason that the text gives.
	CellFailed CellState = "Failed"
)

// MaxCellText bounds the text of a cell, in bytes.
const MaxCellText = 256

// CellReport is how a replica finds one part of its store.
type CellReport struct {
	// Cell is the name of the part.
	Cell string `json:"cell"`
	// State is how it is.
	State CellState `json:"state"`
	// Text says more, in the replica's words. It names no host, user or password.
	Text string `json:"text,omitempty"`
}

// EncodeReport renders a report deterministically.
func EncodeReport(r *Report) ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return raw, nil
}

// DecodeReport reads a report. A report of another format version is refused.
func DecodeReport(raw []byte) (*Report, error) {
	r := &Report{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	if r.Version != FormatVersion {
		return nil, fmt.Errorf("decode report: version %q is not %q", r.Version, FormatVersion)
	}
	return r, nil
}
