// Package s3 keeps the store's objects in a bucket of S3-compatible storage.
package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// partSize is how many octets of an upload are kept in memory, and sent at a time.
	partSize = 8 << 20
	// chunkSize is how many octets one request reads.
	chunkSize = 1 << 20
	// requestTimeout bounds what is no transfer of content.
	requestTimeout = 30 * time.Second
)

// Options are the choices of a bucket.
type Options struct {
	// Endpoint is the URL of the service without a path: https, or http on a loopback address.
	Endpoint string
	// Bucket is the name of the bucket, which must exist.
	Bucket string
	// CredentialsFile holds the keys as JSON; see Credentials. It is read again when it changes.
	CredentialsFile string
}

// Bucket is store.Objects in a bucket. Several engines may share one: no two objects have one name.
type Bucket struct {
	client *minio.Client
	core   minio.Core
	bucket string
}

var _ store.Objects = (*Bucket)(nil)

// CheckEndpoint says what is wrong with the URL of a service.
func CheckEndpoint(endpoint string) error {
	_, err := parseEndpoint(endpoint)
	return err
}

func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("endpoint %q: %w: write it as https://host or https://host:port", endpoint, store.ErrInvalid)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("endpoint %q: %w: mail would travel unencrypted: use https", endpoint, store.ErrInvalid)
	}
	return u, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && address.IsLoopback())
}

// Open connects to a bucket and checks that it is there.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	u, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	keys, err := readCredentials(o.CredentialsFile)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	if transport.TLSClientConfig != nil {
		transport.TLSClientConfig.MinVersion = tls.VersionTLS12
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.New(&fileProvider{path: o.CredentialsFile}), Secure: u.Scheme == "https", Region: keys.Region, Transport: transport,
	})
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w: %w", store.ErrInvalid, err)
	}
	b := &Bucket{client: client, core: minio.Core{Client: client}, bucket: o.Bucket}
	return b, b.Ready(ctx)
}

// Ready says why the bucket cannot be used at the moment.
func (b *Bucket) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	exists, err := b.client.BucketExists(ctx, b.bucket)
	if err != nil {
		return fmt.Errorf("bucket %q: %w", b.bucket, classify(err))
	}
	if !exists {
		return fmt.Errorf("bucket %q: %w: it does not exist: make it", b.bucket, store.ErrUnavailable)
	}
	return nil
}

// Write keeps what r yields under name, in parts when it is long. The object appears whole or not at all.
func (b *Bucket) Write(ctx context.Context, name string, r io.Reader) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	source := &reader{r: r}
	info, err := b.client.PutObject(ctx, b.bucket, name, source, -1, minio.PutObjectOptions{
		PartSize: partSize, ContentType: "application/octet-stream",
		// TLS and the checksum of each part protect the content; not every service can read signed chunks.
		DisableContentSha256: true,
	})
	if source.err != nil {
		return 0, fmt.Errorf("write object: %w", source.err)
	}
	if err != nil {
		return 0, fmt.Errorf("write object: %w", classify(err))
	}
	if info.Size != source.n {
		return 0, fmt.Errorf("write object: %w: %d of %d octets are there", store.ErrUnavailable, info.Size, source.n)
	}
	return info.Size, nil
}

// Open returns the object, or store.ErrNotFound. It is read for as long as the context lasts.
func (b *Bucket) Open(ctx context.Context, name string) (store.Object, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	stat, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := b.client.StatObject(stat, b.bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("object %q: %w", name, classify(err))
	}
	return store.NewWindow(info.Size, chunkSize, func(number int64) ([]byte, error) {
		return b.read(ctx, name, info.ETag, number*chunkSize, min((number+1)*chunkSize, info.Size))
	}), nil
}

// read reads a range of an object.
func (b *Bucket) read(ctx context.Context, name, tag string, start, end int64) ([]byte, error) {
	var o minio.GetObjectOptions
	if err := errors.Join(o.SetRange(start, end-1), o.SetMatchETag(tag)); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, _, _, err := b.core.GetObject(ctx, b.bucket, name, o)
	if err != nil {
		return nil, fmt.Errorf("read object %q: %w", name, classify(err))
	}
	data, err := io.ReadAll(io.LimitReader(body, end-start))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read object %q: %w", name, classify(err))
	}
	return data, nil
}

// Remove deletes the object if it exists.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := b.client.RemoveObject(ctx, b.bucket, name, minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("remove object: %w", classify(err))
	}
	return nil
}

// classify tells an object that is not there from a service that does not do what it is asked.
func classify(err error) error {
	response := minio.ToErrorResponse(err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case response.Code == minio.NoSuchKey || (response.StatusCode == http.StatusNotFound && response.Code != minio.NoSuchBucket):
		return store.ErrNotFound
	default:
		return fmt.Errorf("%w: object storage: %w", store.ErrUnavailable, err)
	}
}

// checkName refuses names that are no plain words: each is a key of the bucket as it is.
func checkName(name string) error {
	const plain = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	if name == "" || strings.Trim(name, plain) != "" {
		return fmt.Errorf("object name %q: %w: letters, digits, hyphens and underscores", name, store.ErrInvalid)
	}
	return nil
}

// reader counts what was read and remembers why it ended early.
type reader struct {
	r   io.Reader
	n   int64
	err error
}

// Read reads on.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
