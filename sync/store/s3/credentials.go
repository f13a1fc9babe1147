package s3

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Credentials is the content of a file of credentials.
type Credentials struct {
	// AccessKey names the key.
	AccessKey string `json:"accessKey"`
	// SecretKey signs requests.
	SecretKey string `json:"secretKey"`
	// SessionToken goes with keys that end; empty with others.
	SessionToken string `json:"sessionToken,omitempty"`
	// Region is that of the bucket. Empty asks the service for it.
	Region string `json:"region,omitempty"`
}

// ParseCredentials reads credentials. Its errors repeat nothing of them.
func ParseCredentials(content []byte) (Credentials, error) {
	var c Credentials
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&c)
	if err == nil {
		_, err = decoder.Token()
	}
	switch {
	case !errors.Is(err, io.EOF):
		return Credentials{}, fmt.Errorf(`%w: not a JSON object {"accessKey": "…", "secretKey": "…"} with optional "sessionToken" and "region"`, store.ErrInvalid)
	case c.AccessKey == "":
		return Credentials{}, fmt.Errorf("%w: accessKey is missing", store.ErrInvalid)
	case c.SecretKey == "":
		return Credentials{}, fmt.Errorf("%w: secretKey is missing", store.ErrInvalid)
	}
	return c, nil
}

func readCredentials(path string) (Credentials, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials: %w", err)
	}
	c, err := ParseCredentials(content)
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials %q: %w", path, err)
	}
	return c, nil
}

// fileProvider gives the client credentials of a file, and again when the file has changed.
type fileProvider struct {
	path string

	mu       sync.Mutex
	modified time.Time
}

var _ credentials.Provider = (*fileProvider)(nil)

// RetrieveWithCredContext reads the file.
func (p *fileProvider) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return p.Retrieve()
}

// Retrieve reads the file.
func (p *fileProvider) Retrieve() (credentials.Value, error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("credentials: %w", err)
	}
	c, err := readCredentials(p.path)
	if err != nil {
		return credentials.Value{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.modified = info.ModTime()
	return credentials.Value{AccessKeyID: c.AccessKey, SecretAccessKey: c.SecretKey, SessionToken: c.SessionToken, SignerType: credentials.SignatureV4}, nil
}

// IsExpired says whether the file changed since it was read.
func (p *fileProvider) IsExpired() bool {
	info, err := os.Stat(p.path)
	p.mu.Lock()
	defer p.mu.Unlock()
	return err == nil && !info.ModTime().Equal(p.modified)
}
