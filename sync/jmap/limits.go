package jmap

// Limits is the value of the core capability in the session object (RFC 8620 §2).
type Limits struct {
	// MaxSizeUpload is the most octets of one upload.
	MaxSizeUpload int64 `json:"maxSizeUpload"`
	// MaxConcurrentUpload is how many uploads one account may run at a time.
	MaxConcurrentUpload int64 `json:"maxConcurrentUpload"`
	// MaxSizeRequest is the most octets of one API request.
	MaxSizeRequest int64 `json:"maxSizeRequest"`
	// MaxConcurrentRequests is how many API requests one account may run at a time.
	MaxConcurrentRequests int64 `json:"maxConcurrentRequests"`
	// MaxCallsInRequest is the most method calls of one API request.
	MaxCallsInRequest int64 `json:"maxCallsInRequest"`
	// MaxObjectsInGet is the most ids of one /get call.
	MaxObjectsInGet int64 `json:"maxObjectsInGet"`
	// MaxObjectsInSet is the most creates, updates and destroys of one /set call.
	MaxObjectsInSet int64 `json:"maxObjectsInSet"`
	// CollationAlgorithms are the collations that queries can sort by.
	CollationAlgorithms List[string] `json:"collationAlgorithms"`
}

// DefaultLimits returns the limits that the server starts with. None is below the
// minimum that RFC 8620 §2 suggests.
func DefaultLimits() Limits {
	return Limits{
		MaxSizeUpload:         75_000_000,
		MaxConcurrentUpload:   8,
		MaxSizeRequest:        10_000_000,
		MaxConcurrentRequests: 16,
		MaxCallsInRequest:     64,
		MaxObjectsInGet:       1000,
		MaxObjectsInSet:       1000,
		CollationAlgorithms:   List[string]{"i;ascii-casemap", "i;octet", "i;unicode-casemap"},
	}
}
