package identity

import (
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4/json"
)

// MaxTokenBytes bounds a token. Entra's largest tokens, with 200 groups, stay below.
const MaxTokenBytes = 16 << 10

// Unverified is a token that was read and not believed: nothing in it may be acted
// on but to find the issuer whose rules and keys it is then held against.
type Unverified struct {
	// Type is the "typ" header.
	Type string
	// Algorithm is the "alg" header.
	Algorithm string
	// KeyID is the "kid" header; it may be empty.
	KeyID string
	// Claims is the payload.
	Claims Claims

	raw string
}

// Parse reads a JWS in compact serialization (RFC 7515 §7.1) whose payload is a JSON
// object. Objects that name a member twice are refused, because two readers may
// pick different ones. Errors are of type *Error.
func Parse(raw string) (*Unverified, error) {
	if len(raw) > MaxTokenBytes {
		return nil, invalidToken(ReasonMalformed, "the access token is larger than 16 KiB: have the issuer put fewer claims in it")
	}
	parts := strings.Split(raw, ".")
	switch len(parts) {
	case 3:
	case 5:
		return nil, invalidToken(ReasonMalformed, "the access token is encrypted: have the issuer send signed tokens for this audience")
	default:
		return nil, invalidToken(ReasonMalformed, "the access token is not a JSON Web Token: have the issuer send signed JWTs for this audience")
	}
	header, err := decodeObject(parts[0])
	if err != nil {
		return nil, malformed("header", err)
	}
	claims, err := decodeObject(parts[1])
	if err != nil {
		return nil, malformed("payload", err)
	}
	if err := checkHeader(header); err != nil {
		return nil, err
	}
	return &Unverified{
		Type:      header.String("typ"),
		Algorithm: header.String("alg"),
		KeyID:     header.String("kid"),
		Claims:    claims,
		raw:       raw,
	}, nil
}

func malformed(part string, cause error) error {
	return &Error{Code: CodeInvalidToken, Reason: ReasonMalformed, Detail: "the " + part + " of the access token is not a JSON object: have the issuer send signed JWTs for this audience", cause: cause}
}

// checkHeader refuses what changes how a token is read: critical extensions, none of
// which is known here (RFC 7515 §4.1.11), and unencoded payloads, which a JWT never
// has (RFC 7797 §7). Keys that a header brings along ("jwk", "jku", "x5c", "x5u")
// are never looked at.
func checkHeader(header Claims) error {
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, ok := header[name]; ok {
			return invalidToken(ReasonMalformed, "the header of the access token has the member "+name+", which is not understood here: have the issuer leave it out")
		}
	}
	for _, name := range []string{"typ", "alg", "kid"} {
		if value, ok := header[name]; ok && header.String(name) != value {
			return invalidToken(ReasonMalformed, "the header member "+name+" of the access token is not a string: the issuer is at fault")
		}
	}
	return nil
}

var errNotAnObject = errors.New("not a JSON object")

// decodeObject decodes strictly: base64url without padding, one JSON object, member
// names unique and case-sensitive.
func decodeObject(part string) (Claims, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.SetNumberType(json.UnmarshalJSONNumber)
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return nil, err
	}
	if object == nil || dec.More() || !stdjson.Valid(raw) {
		return nil, errNotAnObject
	}
	return numbers(object), nil
}

// numbers turns the decoder's own number type at the top level into json.Number.
func numbers(object map[string]any) Claims {
	for name, value := range object {
		if n, ok := value.(json.Number); ok {
			object[name] = stdjson.Number(n)
		}
	}
	return object
}
