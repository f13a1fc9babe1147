package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/maphash"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// seed is that of the sums in the memory of the Writer, which never leave the
// process.
var seed = maphash.MakeSeed()

// intent is one wanted object on its way to the API server.
type intent struct {
	key    key
	object client.Object
	sum    uint64
}

// binary is what the types of Kubernetes' own APIs offer: an encoding that is the
// same for the same object, and several times as fast as JSON.
type binary interface{ Marshal() ([]byte, error) }

func newIntent(k key, obj client.Object) (*intent, error) {
	raw, err := encode(obj)
	if err != nil {
		return nil, err
	}
	return &intent{key: k, object: obj, sum: maphash.Bytes(seed, raw)}, nil
}

func encode(obj client.Object) ([]byte, error) {
	if fast, ok := obj.(binary); ok {
		raw, err := fast.Marshal()
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		return raw, nil
	}
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return raw, nil
}

// fields gives the declared fields with the digest annotation, and the digest.
func (i *intent) fields() (map[string]any, string, error) {
	raw, err := json.Marshal(i.object)
	if err != nil {
		return nil, "", fmt.Errorf("encode: %w", err)
	}
	fields, err := decodeFields(raw)
	if err != nil {
		return nil, "", err
	}
	fields["apiVersion"], fields["kind"] = i.key.kind.ToAPIVersionAndKind()
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, "", fmt.Errorf("encode: %w", err)
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:12])
	metadata := child(fields, "metadata")
	child(metadata, "annotations")[AnnotationApplied] = digest
	return fields, digest, nil
}

// decodeFields reads an encoded object into plain values without what no client
// declares: status, nulls, and what the API server keeps for itself.
func decodeFields(raw []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	fields := map[string]any{}
	if err := dec.Decode(&fields); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	delete(fields, "status")
	metadata := child(fields, "metadata")
	for _, name := range []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		delete(metadata, name)
	}
	dropNulls(fields)
	return fields, nil
}

// child gives the object under name, made when it is not there.
func child(fields map[string]any, name string) map[string]any {
	if m, ok := fields[name].(map[string]any); ok {
		return m
	}
	m := map[string]any{}
	fields[name] = m
	return m
}

func dropNulls(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, entry := range v {
			if entry == nil {
				delete(v, name)
				continue
			}
			dropNulls(entry)
		}
	case []any:
		for _, entry := range v {
			dropNulls(entry)
		}
	}
}
