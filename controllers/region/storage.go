package region

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// storageEvery is how long what the objects of the user say is remembered that the spec
// names: the Secrets of a store, and what delivery refers to. They cannot be watched;
// while something is wrong with them they are read as often as counts are.
const storageEvery = 10 * time.Minute

// StorageFacts is what the Secrets that spec.storage names say.
type StorageFacts struct {
	// Problem says which of them cannot be used; nil when all can, and when none is
	// named.
	Problem *Obstacle
	// Ports lead to the databases, sorted.
	Ports []int32
	// Revision stands for the state of the Secrets with the connection strings. It is
	// made from their resource versions and not from what they hold: a digest of a
	// password is a help to guess it.
	Revision string
	// Until is when they have to be read again; zero when none is named.
	Until time.Time
}

// cell is one database of a region.
type cell struct {
	// name is that of its DSN file, and of the cell in reports and in the store.
	name string
	// field of the spec that names it.
	field string
	ref   v1alpha1.SecretKeyReference
}

// cellsOf are the databases of a region in the order of the spec.
func cellsOf(r *v1alpha1.MailboxRegion) []cell {
	if r.Spec.Storage.Postgres == nil {
		return nil
	}
	refs := r.Spec.Storage.Postgres.DSNSecretRefs
	cells := make([]cell, 0, len(refs))
	for i, ref := range refs {
		cells = append(cells, cell{cellName(ref), fmt.Sprintf("spec.storage.postgres.dsnSecretRefs[%d]", i), ref})
	}
	return cells
}

// cellName is made from the name of the Secret and the key alone, so that the order of
// the list moves nobody's mail. It is a DNS label.
func cellName(ref v1alpha1.SecretKeyReference) string {
	const readable = 48
	sum := sha256.Sum256([]byte(string(ref.Name) + "/" + ref.Key))
	name := strings.ReplaceAll(string(ref.Name), ".", "-")
	name = strings.Trim(name[:min(len(name), readable)], "-")
	return name + "-" + hex.EncodeToString(sum[:5])
}

// observeStorage reads the Secrets that spec.storage names, past the cache: they are
// the user's and carry no label of ours.
func (c *Controller) observeStorage(ctx context.Context, f *Facts) error {
	storage := &f.Region.Spec.Storage
	if storage.Postgres == nil && storage.Blobs == nil {
		return nil
	}
	if known, ok := c.storage.get(f.Region, f.Now); ok && f.requested() == "" {
		f.Storage = known
		return nil
	}
	facts, err := c.readStorage(ctx, f.Region)
	if err != nil {
		return err
	}
	facts.Until = f.Now.Add(storageEvery)
	if facts.Problem != nil {
		facts.Until = f.Now.Add(countsEvery)
	}
	c.storage.set(f.Region, facts, facts.Until)
	f.Storage = facts
	return nil
}

func (c *Controller) readStorage(ctx context.Context, r *v1alpha1.MailboxRegion) (StorageFacts, error) {
	secrets := newSecretReader(c.live, r.Namespace, v1alpha1.ConditionStorageReady)
	var facts StorageFacts
	var states []string
	for _, cell := range cellsOf(r) {
		raw, problem, err := secrets.value(ctx, cell.field, cell.ref, "a connection string")
		if err != nil {
			return facts, err
		}
		if problem == nil {
			var ports []int32
			ports, problem = judgeDSN(cell, raw)
			facts.Ports = append(facts.Ports, ports...)
			secret := secrets.seen[cell.ref.Name]
			states = append(states, fmt.Sprintf("%s %s %s", cell.name, secret.UID, secret.ResourceVersion))
		}
		if facts.Problem == nil {
			facts.Problem = problem
		}
	}
	slices.Sort(facts.Ports)
	facts.Ports = slices.Compact(facts.Ports)
	if r.Spec.Storage.Postgres != nil {
		slices.Sort(states)
		sum := sha256.Sum256([]byte(strings.Join(states, "\n")))
		facts.Revision = hex.EncodeToString(sum[:8])
	}
	problem, err := secrets.credentials(ctx, r.Spec.Storage.Blobs)
	if facts.Problem == nil {
		facts.Problem = problem
	}
	return facts, err
}

// credentials says what is wrong with the Secret of the object storage.
func (s *secretReader) credentials(ctx context.Context, blobs *v1alpha1.BlobStorage) (*Obstacle, error) {
	if blobs == nil {
		return nil, nil //nolint:nilnil // no obstacle is an answer
	}
	const field = "spec.storage.blobs.s3.credentialsSecretRef"
	ref := blobs.S3.CredentialsSecretRef
	raw, problem, err := s.value(ctx, field, ref, "the credentials")
	if err != nil || problem != nil {
		return problem, err
	}
	if !holdsKeys(raw) {
		return storageObstacle(v1alpha1.ReasonSecretMalformed, fmt.Sprintf(
			`%s: Secret %q, key %q: the credentials lack an access key or a secret key: write {"accessKey": "…", "secretKey": "…"}`, field, ref.Name, ref.Key)), nil
	}
	return nil, nil //nolint:nilnil // no obstacle is an answer
}

// holdsKeys tells whether credentials have what the sync server needs of them.
func holdsKeys(raw []byte) bool {
	var keys struct {
		AccessKey string `json:"accessKey"`
		SecretKey string `json:"secretKey"`
	}
	return json.Unmarshal(raw, &keys) == nil && keys.AccessKey != "" && keys.SecretKey != ""
}

// secretReader reads each Secret once.
type secretReader struct {
	live      client.Reader
	namespace string
	// condition tells of what is missing.
	condition string
	seen      map[v1alpha1.ObjectName]*corev1.Secret
}

func newSecretReader(live client.Reader, namespace, condition string) *secretReader {
	return &secretReader{live: live, namespace: namespace, condition: condition, seen: map[v1alpha1.ObjectName]*corev1.Secret{}}
}

// value gives what is under a key; an obstacle says what is missing.
func (s *secretReader) value(ctx context.Context, field string, ref v1alpha1.SecretKeyReference, what string) ([]byte, *Obstacle, error) {
	secret, seen := s.seen[ref.Name]
	if !seen {
		secret = &corev1.Secret{}
		err := s.live.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: string(ref.Name)}, secret)
		switch {
		case apierrors.IsNotFound(err):
			secret = nil
		case err != nil:
			return nil, nil, fmt.Errorf("read Secret %q: %w", ref.Name, err)
		}
		s.seen[ref.Name] = secret
	}
	switch {
	case secret == nil:
		return nil, &Obstacle{
			s.condition, v1alpha1.ReasonSecretNotFound,
			fmt.Sprintf("%s: Secret %q does not exist: create it with %s under the key %q", field, ref.Name, what, ref.Key),
		}, nil
	case len(secret.Data[ref.Key]) == 0:
		return nil, &Obstacle{
			s.condition, v1alpha1.ReasonSecretMalformed,
			fmt.Sprintf("%s: Secret %q has nothing under the key %q: put %s there", field, ref.Name, ref.Key, what),
		}, nil
	default:
		return secret.Data[ref.Key], nil, nil
	}
}

// judgeDSN gives the ports of a DSN, or why it cannot be used.
func judgeDSN(c cell, raw []byte) ([]int32, *Obstacle) {
	ports, err := parseDSN(raw)
	if err != nil {
		return nil, storageObstacle(v1alpha1.ReasonSecretMalformed, fmt.Sprintf("%s: Secret %q, key %q: the connection string %v", c.field, c.ref.Name, c.ref.Key, err))
	}
	return ports, nil
}

func storageObstacle(reason, message string) *Obstacle {
	return &Obstacle{v1alpha1.ConditionStorageReady, reason, message}
}

func storageUnusable(f *Facts) *Obstacle { return f.Storage.Problem }

// storagePorts are those on which the databases and the object storage are reached.
func storagePorts(f *Facts) []int32 {
	ports := slices.Clone(f.Storage.Ports)
	if f.Region.Spec.Storage.Blobs != nil {
		ports = append(ports, portService)
	}
	return ports
}
