package jmap

import (
	"encoding/json"
	"fmt"
)

// QueryArguments are the arguments of a /query method (RFC 8620 §5.5).
type QueryArguments struct {
	AccountID string `json:"accountId"`
	// Filter is parsed with ParseFilter.
	Filter         json.RawMessage `json:"filter"`
	Sort           []Comparator    `json:"sort"`
	Position       int64           `json:"position"`
	Anchor         *string         `json:"anchor"`
	AnchorOffset   int64           `json:"anchorOffset"`
	Limit          *int64          `json:"limit"`
	CalculateTotal bool            `json:"calculateTotal"`
}

// Validate checks the account and the numbers.
func (a *QueryArguments) Validate(call *Call) error {
	if err := call.CheckAccount(a.AccountID); err != nil {
		return err
	}
	switch {
	case !isInt(a.Position):
		return InvalidArguments("position: %d is not an Int", a.Position)
	case !isInt(a.AnchorOffset):
		return InvalidArguments("anchorOffset: %d is not an Int", a.AnchorOffset)
	case a.Limit != nil && (*a.Limit < 0 || *a.Limit > MaxInt):
		return InvalidArguments("limit: %d is not an UnsignedInt", *a.Limit)
	case a.Anchor != nil && !ValidID(*a.Anchor):
		return InvalidArguments("anchor: not an Id")
	}
	return checkComparators(a.Sort)
}

// QueryResponse is the response of a /query method (RFC 8620 §5.5).
type QueryResponse struct {
	AccountID           string       `json:"accountId"`
	QueryState          string       `json:"queryState"`
	CanCalculateChanges bool         `json:"canCalculateChanges"`
	Position            int64        `json:"position"`
	IDs                 List[string] `json:"ids"`
	// Total is set when the client asked for it.
	Total *int64 `json:"total,omitempty"`
	// Limit is set when the server chose it.
	Limit *int64 `json:"limit,omitempty"`
}

// QueryChangesArguments are the arguments of a /queryChanges method (RFC 8620 §5.6).
type QueryChangesArguments struct {
	AccountID string `json:"accountId"`
	// Filter is parsed with ParseFilter.
	Filter          json.RawMessage `json:"filter"`
	Sort            []Comparator    `json:"sort"`
	SinceQueryState string          `json:"sinceQueryState"`
	MaxChanges      *int64          `json:"maxChanges"`
	UpToID          *string         `json:"upToId"`
	CalculateTotal  bool            `json:"calculateTotal"`
}

// Validate checks the account, the state and maxChanges.
func (a *QueryChangesArguments) Validate(call *Call) error {
	if err := call.CheckAccount(a.AccountID); err != nil {
		return err
	}
	switch {
	case a.SinceQueryState == "":
		return InvalidArguments("sinceQueryState: missing")
	case a.UpToID != nil && !ValidID(*a.UpToID):
		return InvalidArguments("upToId: not an Id")
	}
	// Unlike that of /changes, this one may be zero (RFC 8620 §5.6).
	if a.MaxChanges != nil && (*a.MaxChanges < 0 || *a.MaxChanges > MaxInt) {
		return InvalidArguments("maxChanges: %d is not an UnsignedInt", *a.MaxChanges)
	}
	return checkComparators(a.Sort)
}

// QueryChangesResponse is the response of a /queryChanges method (RFC 8620 §5.6).
type QueryChangesResponse struct {
	AccountID     string          `json:"accountId"`
	OldQueryState string          `json:"oldQueryState"`
	NewQueryState string          `json:"newQueryState"`
	Total         *int64          `json:"total,omitempty"`
	Removed       List[string]    `json:"removed"`
	Added         List[AddedItem] `json:"added"`
}

// AddedItem is a record that came into the results of a query, with its index in
// them (RFC 8620 §5.6).
type AddedItem struct {
	ID    string `json:"id"`
	Index int64  `json:"index"`
}

// Comparator is one sort criterion (RFC 8620 §5.5).
type Comparator struct {
	// Property is the property to compare.
	Property string
	// IsAscending is true unless the client says otherwise.
	IsAscending bool
	// Collation names the algorithm for strings; empty leaves it to the server.
	Collation string
	// Extra are further members, such as "keyword" (RFC 8621 §4.4.2).
	Extra map[string]json.RawMessage
}

// UnmarshalJSON decodes a comparator and applies its defaults.
func (c *Comparator) UnmarshalJSON(raw []byte) error {
	var members map[string]json.RawMessage
	if err := DecodeArguments(raw, &members); err != nil {
		return err
	}
	if members == nil {
		return InvalidArguments("sort: a comparator is null")
	}
	*c = Comparator{IsAscending: true}
	known := map[string]any{"property": &c.Property, "isAscending": &c.IsAscending, "collation": &c.Collation}
	for name, value := range members {
		target, ok := known[name]
		if !ok {
			if c.Extra == nil {
				c.Extra = map[string]json.RawMessage{}
			}
			c.Extra[name] = value
			continue
		}
		if err := DecodeArguments(value, target); err != nil {
			return InvalidArguments("sort: %s: wrong type", name)
		}
	}
	return nil
}

// maxComparators is how many sort criteria a query may have: each costs a key for every result.
const maxComparators = 16

func checkComparators(sort []Comparator) error {
	if len(sort) > maxComparators {
		return &MethodError{Type: ErrorUnsupportedSort, Description: fmt.Sprintf("sort: %d comparators, at most %d are supported", len(sort), maxComparators)}
	}
	for i := range sort {
		if sort[i].Property == "" {
			return InvalidArguments("sort[%d].property: missing", i)
		}
	}
	return nil
}

func isInt(n int64) bool {
	return n >= -MaxInt && n <= MaxInt
}
