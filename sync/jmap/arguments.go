package jmap

import (
	"encoding/json"
	"strconv"
)

// GetArguments are the arguments of a /get method (RFC 8620 §5.1). A method with
// further arguments embeds them.
type GetArguments struct {
	AccountID string `json:"accountId"`
	// IDs is nil when all records are asked for. An id may be a creation id with "#".
	IDs []string `json:"ids"`
	// Properties is nil when all properties are asked for.
	Properties []string `json:"properties"`
}

// Validate checks the account, the ids and maxObjectsInGet.
func (a *GetArguments) Validate(call *Call) error {
	if err := call.CheckAccount(a.AccountID); err != nil {
		return err
	}
	if int64(len(a.IDs)) > call.Limits.MaxObjectsInGet {
		return tooLarge("maxObjectsInGet", call.Limits.MaxObjectsInGet)
	}
	return checkReferences("ids", a.IDs)
}

// GetResponse is the response of a /get method (RFC 8620 §5.1).
type GetResponse[T any] struct {
	AccountID string       `json:"accountId"`
	State     string       `json:"state"`
	List      List[T]      `json:"list"`
	NotFound  List[string] `json:"notFound"`
}

// ChangesArguments are the arguments of a /changes method (RFC 8620 §5.2).
type ChangesArguments struct {
	AccountID  string `json:"accountId"`
	SinceState string `json:"sinceState"`
	// MaxChanges is nil when the server may choose.
	MaxChanges *int64 `json:"maxChanges"`
}

// Validate checks the account, the state and that maxChanges is above zero.
func (a *ChangesArguments) Validate(call *Call) error {
	if err := call.CheckAccount(a.AccountID); err != nil {
		return err
	}
	if a.SinceState == "" {
		return InvalidArguments("sinceState: missing")
	}
	return checkMaxChanges(a.MaxChanges)
}

// ChangesResponse is the response of a /changes method (RFC 8620 §5.2).
type ChangesResponse struct {
	AccountID      string       `json:"accountId"`
	OldState       string       `json:"oldState"`
	NewState       string       `json:"newState"`
	HasMoreChanges bool         `json:"hasMoreChanges"`
	Created        List[string] `json:"created"`
	Updated        List[string] `json:"updated"`
	Destroyed      List[string] `json:"destroyed"`
}

// SetArguments are the arguments of a /set method (RFC 8620 §5.3). Objects to create
// stay raw, because a wrong one fails alone: decode each with DecodeObject.
type SetArguments struct {
	AccountID string `json:"accountId"`
	// IfInState is nil when any state will do.
	IfInState *string `json:"ifInState"`
	// Create is keyed by creation id.
	Create map[string]json.RawMessage `json:"create"`
	// Update is keyed by id, or by creation id with "#".
	Update map[string]PatchObject `json:"update"`
	// Destroy lists ids, or creation ids with "#".
	Destroy []string `json:"destroy"`
}

// Validate checks the account, maxObjectsInSet and the syntax of ids.
func (a *SetArguments) Validate(call *Call) error {
	if err := call.CheckWritableAccount(a.AccountID); err != nil {
		return err
	}
	return a.ValidateObjects(call)
}

// ValidateObjects is Validate without the account.
func (a *SetArguments) ValidateObjects(call *Call) error {
	return checkSet(call, a.Create, a.Update, a.Destroy)
}

// checkSet checks maxObjectsInSet and the syntax of the ids of a /set method.
func checkSet(call *Call, create map[string]json.RawMessage, update map[string]PatchObject, destroy []string) error {
	if int64(len(create)+len(update)+len(destroy)) > call.Limits.MaxObjectsInSet {
		return tooLarge("maxObjectsInSet", call.Limits.MaxObjectsInSet)
	}
	if err := checkCreationIDs(create); err != nil {
		return err
	}
	for id, patch := range update {
		if !validReference(id) {
			return InvalidArguments("update: %q is not an Id", id)
		}
		if patch == nil {
			return InvalidArguments("update: the PatchObject of %q is null", id)
		}
	}
	return checkReferences("destroy", destroy)
}

// SetResponse is the response of a /set method (RFC 8620 §5.3). Nil maps and lists
// encode as null.
type SetResponse struct {
	AccountID string  `json:"accountId"`
	OldState  *string `json:"oldState"`
	NewState  string  `json:"newState"`
	// Created is keyed by creation id; the values are what the client did not send.
	Created map[string]any `json:"created"`
	// Updated is keyed by id; a value is nil unless more changed than was asked for.
	Updated      map[string]any       `json:"updated"`
	Destroyed    []string             `json:"destroyed"`
	NotCreated   map[string]*SetError `json:"notCreated"`
	NotUpdated   map[string]*SetError `json:"notUpdated"`
	NotDestroyed map[string]*SetError `json:"notDestroyed"`
}

// CopyArguments are the arguments of a /copy method (RFC 8620 §5.4).
type CopyArguments struct {
	FromAccountID            string                     `json:"fromAccountId"`
	IfFromInState            *string                    `json:"ifFromInState"`
	AccountID                string                     `json:"accountId"`
	IfInState                *string                    `json:"ifInState"`
	Create                   map[string]json.RawMessage `json:"create"`
	OnSuccessDestroyOriginal bool                       `json:"onSuccessDestroyOriginal"`
	DestroyFromIfInState     *string                    `json:"destroyFromIfInState"`
}

// Validate checks both accounts, which must differ, and maxObjectsInSet.
func (a *CopyArguments) Validate(call *Call) error {
	if err := checkAccountPair(call, a.FromAccountID, a.AccountID); err != nil {
		return err
	}
	if a.Create == nil {
		return InvalidArguments("create: missing")
	}
	if int64(len(a.Create)) > call.Limits.MaxObjectsInSet {
		return tooLarge("maxObjectsInSet", call.Limits.MaxObjectsInSet)
	}
	return checkCreationIDs(a.Create)
}

// CopyResponse is the response of a /copy method (RFC 8620 §5.4).
type CopyResponse struct {
	FromAccountID string               `json:"fromAccountId"`
	AccountID     string               `json:"accountId"`
	OldState      *string              `json:"oldState"`
	NewState      string               `json:"newState"`
	Created       map[string]any       `json:"created"`
	NotCreated    map[string]*SetError `json:"notCreated"`
}

func checkAccountPair(call *Call, from, to string) error {
	switch {
	case from == "":
		return InvalidArguments("fromAccountId: missing")
	case !ValidID(from):
		return InvalidArguments("fromAccountId: not an Id")
	case from == to:
		return InvalidArguments("fromAccountId: must differ from accountId")
	case !call.Principal.CanRead(from):
		return &MethodError{Type: ErrorFromAccountNotFound}
	case call.Principal.Partial(from) && !call.Partial:
		return &MethodError{Type: ErrorFromAccountNotSupportedByMethod}
	}
	return call.CheckWritableAccount(to)
}

func checkCreationIDs(create map[string]json.RawMessage) error {
	for id := range create {
		if !ValidID(id) {
			return InvalidArguments("create: %q is not an Id", id)
		}
	}
	return nil
}

func checkReferences(argument string, ids []string) error {
	for i, id := range ids {
		if !validReference(id) {
			return InvalidArguments("%s[%d]: %q is not an Id", argument, i, id)
		}
	}
	return nil
}

func checkMaxChanges(maxChanges *int64) error {
	if maxChanges != nil && (*maxChanges < 1 || *maxChanges > MaxInt) {
		return InvalidArguments("maxChanges: %d is not an integer above 0", *maxChanges)
	}
	return nil
}

func tooLarge(limit string, most int64) *MethodError {
	return &MethodError{
		Type:        ErrorRequestTooLarge,
		Description: "more than " + strconv.FormatInt(most, 10) + " objects, the limit " + limit + ": split the call",
		Fields:      map[string]any{"limit": limit},
	}
}
