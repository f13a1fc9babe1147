package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// EmbeddedStorage keeps the mailboxes in an embedded store on a volume, with one
// replica.
type EmbeddedStorage struct {
	// size of the volume.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="size must be more than zero, such as 50Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",message="size cannot shrink: mail is on the volume"
	// +required
	Size resource.Quantity `json:"size"`
	// storageClassName of the volume; the cluster's default when absent.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="storageClassName cannot change: create a new region and move the mailboxes"
	// +optional
	StorageClassName string `json:"storageClassName,omitempty"`
}

// PostgresStorage keeps the mailboxes in PostgreSQL databases.
type PostgresStorage struct {
	// dsnSecretRefs name the connection strings; more than one spreads accounts
	// over several databases (cells). Each is postgres://user@host/database with
	// sslmode=verify-full. A Secret that also has the key ca.crt offers it to
	// sslrootcert as /var/run/bailiwick/postgres-ca/<name of the Secret>.crt.
	// The name and the key are the identity of a cell: the order may change, and
	// cells may be added.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b == a))",message="name each database once: two entries have the same name and key"
	// +kubebuilder:validation:XValidation:rule="oldSelf.all(a, self.exists(b, b == a))",message="a database cannot be removed or renamed, mail is in it: keep its entry"
	// +required
	DSNSecretRefs []SecretKeyReference `json:"dsnSecretRefs"`
}

// ObjectStorage keeps blobs in an S3-compatible bucket.
type ObjectStorage struct {
	// endpoint host of the object storage, reached over https.
	// +required
	Endpoint Hostname `json:"endpoint"`
	// bucket name.
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +required
	Bucket string `json:"bucket"`
	// credentialsSecretRef names the key of a Secret that holds the credentials as
	// JSON: {"accessKey": "…", "secretKey": "…"}, optionally with "sessionToken" and
	// "region".
	// +required
	CredentialsSecretRef SecretKeyReference `json:"credentialsSecretRef"`
}

// BlobStorage is where message contents are kept; in the store when absent.
type BlobStorage struct {
	// s3 keeps blobs in an S3-compatible bucket.
	// +required
	S3 ObjectStorage `json:"s3"`
}

// RegionStorage is where the region keeps its mailboxes.
//
// +kubebuilder:validation:XValidation:rule="has(self.embedded) != has(self.postgres)",message="choose exactly one of embedded and postgres"
// +kubebuilder:validation:XValidation:rule="has(self.embedded) == has(oldSelf.embedded)",message="the kind of storage cannot change: create a new region and move the mailboxes"
// +kubebuilder:validation:XValidation:rule="has(self.blobs) == has(oldSelf.blobs)",message="blobs cannot be added or removed, contents would be lost: create a new region and move the mailboxes"
type RegionStorage struct {
	// embedded store on a volume.
	// +optional
	Embedded *EmbeddedStorage `json:"embedded,omitempty"`
	// postgres databases.
	// +optional
	Postgres *PostgresStorage `json:"postgres,omitempty"`
	// blobs of messages; in the store when absent.
	// +optional
	Blobs *BlobStorage `json:"blobs,omitempty"`
}
