package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	// maxPlain is how much plaintext fits what every push service takes (RFC 8291 §4).
	maxPlain = 3993
	// recordSize is the "rs" of the one record of a message (RFC 8188 §2.1).
	recordSize = 4096
	authLength = 16
	saltLength = 16
	// pointLength is the length of an uncompressed point of P-256.
	pointLength = 65
	// lastRecord delimits the padding of the last record (RFC 8188 §2).
	lastRecord = 2
)

// Keys are what a client encrypts its push messages with (RFC 8620 §7.2), in URL-safe
// base64.
type Keys struct {
	// P256DH is the public ECDH key of the client.
	P256DH string `json:"p256dh"`
	// Auth is the authentication secret.
	Auth string `json:"auth"`
}

// parse reads the keys. An error tells what is wrong with them without repeating them.
func (k *Keys) parse() (public *ecdh.PublicKey, auth []byte, err error) {
	point, err := decodeBase64(k.P256DH)
	if err != nil {
		return nil, nil, errors.New("keys/p256dh: not URL-safe base64")
	}
	if public, err = ecdh.P256().NewPublicKey(point); err != nil {
		return nil, nil, errors.New("keys/p256dh: not an uncompressed point of the curve P-256: send the 65 octets that the push service's library gives")
	}
	if auth, err = decodeBase64(k.Auth); err != nil {
		return nil, nil, errors.New("keys/auth: not URL-safe base64")
	}
	if len(auth) != authLength {
		return nil, nil, fmt.Errorf("keys/auth: %d octets: send %d", len(auth), authLength)
	}
	return public, auth, nil
}

// decodeBase64 reads URL-safe base64 with or without padding; RFC 4648 §5 has both.
func decodeBase64(s string) ([]byte, error) {
	return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
}

// seal encrypts a message for a client (RFC 8291).
func seal(plain []byte, keys *Keys) ([]byte, error) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	return sealWith(plain, keys, private, salt)
}

// sealWith is seal with what must be random given.
func sealWith(plain []byte, keys *Keys, private *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	if len(plain) > maxPlain {
		return nil, fmt.Errorf("encrypt: message of %d octets, more than %d", len(plain), maxPlain)
	}
	public, auth, err := keys.parse()
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	key, nonce, err := deriveKey(private, public, auth, salt)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	own := private.PublicKey().Bytes()
	// The header of the content coding (RFC 8188 §2.1).
	message := binary.BigEndian.AppendUint32(append([]byte(nil), salt...), recordSize)
	message = append(message, pointLength)
	message = append(message, own...)
	return appendSealed(message, key, nonce, append(append([]byte(nil), plain...), lastRecord))
}

// deriveKey derives the content encryption key and the nonce (RFC 8291 §3.4). The
// private key is the sender's, the public one the client's.
func deriveKey(private *ecdh.PrivateKey, public *ecdh.PublicKey, auth, salt []byte) (key, nonce []byte, err error) {
	secret, err := private.ECDH(public)
	if err != nil {
		return nil, nil, err
	}
	info := "WebPush: info\x00" + string(public.Bytes()) + string(private.PublicKey().Bytes())
	material, err := hkdf.Key(sha256.New, secret, auth, info, sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	pseudorandom, err := hkdf.Extract(sha256.New, material, salt)
	if err != nil {
		return nil, nil, err
	}
	if key, err = hkdf.Expand(sha256.New, pseudorandom, "Content-Encoding: aes128gcm\x00", 16); err != nil {
		return nil, nil, err
	}
	nonce, err = hkdf.Expand(sha256.New, pseudorandom, "Content-Encoding: nonce\x00", 12)
	return key, nonce, err
}

// appendSealed appends the encrypted record to the header.
//
// This is the one place where FIPS 140-3 is not enforced (GODEBUG=fips140=only): the
// validated module allows AES-GCM only with nonces that it makes itself, and RFC 8291
// derives the nonce from the key agreement. Key and nonce come from a fresh ECDH key
// and a fresh salt for each message, so no pair occurs twice; and what is encrypted are
// state strings, which travel over TLS besides.
func appendSealed(header, key, nonce, plain []byte) (message []byte, err error) {
	fips140.WithoutEnforcement(func() {
		var block cipher.Block
		var aead cipher.AEAD
		if block, err = aes.NewCipher(key); err != nil {
			return
		}
		if aead, err = cipher.NewGCM(block); err != nil {
			return
		}
		message = aead.Seal(header, nonce, plain, nil)
	})
	return message, err
}
