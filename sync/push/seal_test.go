package push

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// browser is a client that has encryption keys.
type browser struct {
	private *ecdh.PrivateKey
	auth    []byte
}

func newBrowser(tb testing.TB) *browser {
	tb.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	b := &browser{private: private, auth: make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	return b
}

func (b *browser) keys() *Keys {
	return &Keys{P256DH: encode64(b.private.PublicKey().Bytes()), Auth: encode64(b.auth)}
}

func encode64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func decode64(tb testing.TB, s string) []byte {
	tb.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// open decrypts a message as a user agent does, by the steps of RFC 8291 §3.4 written
// with HMAC alone.
func (b *browser) open(message []byte) ([]byte, error) {
	if len(message) < 86+17 || message[20] != 65 {
		return nil, errors.New("no header of an aes128gcm message with a P-256 key")
	}
	salt, size, point, sealed := message[:16], binary.BigEndian.Uint32(message[16:20]), message[21:86], message[86:]
	if int(size) <= len(sealed)-16 || len(message) > 4096 {
		return nil, errors.New("more than one record")
	}
	sender, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	secret, err := b.private.ECDH(sender)
	if err != nil {
		return nil, err
	}
	one := []byte{1}
	material := mac(mac(b.auth, secret), []byte("WebPush: info\x00"), b.private.PublicKey().Bytes(), point, one)
	pseudorandom := mac(salt, material)
	key := mac(pseudorandom, []byte("Content-Encoding: aes128gcm\x00"), one)[:16]
	nonce := mac(pseudorandom, []byte("Content-Encoding: nonce\x00"), one)[:12]
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var padded []byte
	// As where it is sealed, the nonce is derived.
	fips140.WithoutEnforcement(func() {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCM(block); err == nil {
			padded, err = aead.Open(nil, nonce, sealed, nil)
		}
	})
	if err != nil {
		return nil, err
	}
	plain := bytes.TrimRight(padded, "\x00")
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("no delimiter of the last record")
	}
	return plain[:len(plain)-1], nil
}

func TestTheExampleOfRFC8291IsSealedToTheOctet(t *testing.T) {
	t.Parallel()
	private, err := ecdh.P256().NewPrivateKey(decode64(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := ecdh.P256().NewPrivateKey(decode64(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	if err != nil {
		t.Fatal(err)
	}
	auth, salt := decode64(t, "BTBZMqHH6r4Tts7J_aSIgg"), decode64(t, "DGv6ra1nlYgDCS1FRnbzlw")
	key, nonce, err := deriveKey(private, receiver.PublicKey(), auth, salt)
	if err != nil || encode64(key) != "oIhVW04MRdy2XN9CiKLxTg" || encode64(nonce) != "4h_95klXJ5E_qnoN" {
		t.Errorf("deriveKey = %s, %s, %v, want the CEK and NONCE of appendix A", encode64(key), encode64(nonce), err)
	}
	keys := &Keys{
		P256DH: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
		Auth:   "BTBZMqHH6r4Tts7J_aSIgg",
	}
	const plain = "When I grow up, I want to be a watermelon"
	message, err := sealWith([]byte(plain), keys, private, salt)
	if err != nil {
		t.Fatal(err)
	}
	want := decode64(t, `DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml
		mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT
		pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN`)
	if !bytes.Equal(message, want) {
		t.Errorf("sealed message\n%x, want\n%x", message, want)
	}
	if got, err := (&browser{private: receiver, auth: auth}).open(want); err != nil || string(got) != plain {
		t.Errorf("the example opens as %q, %v: the test decrypts wrong", got, err)
	}
}

func TestWhatIsSealedOpensOnTheDeviceAlone(t *testing.T) {
	t.Parallel()
	device, other := newBrowser(t), newBrowser(t)
	for _, size := range []int{0, 1, 100, maxPlain} {
		plain := bytes.Repeat([]byte("x"), size)
		message, err := seal(plain, device.keys())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := device.open(message); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d octets open as %d, %v", size, len(got), err)
		}
		if _, err := other.open(message); err == nil {
			t.Error("another device opens the message")
		}
		if again, err := seal(plain, device.keys()); err != nil || bytes.Equal(again[:86], message[:86]) {
			t.Errorf("two messages share salt and key: %v", err)
		}
	}
	if _, err := seal(make([]byte, maxPlain+1), device.keys()); err == nil {
		t.Error("a message that needs a second record is sealed")
	}
}

func TestKeysAreCheckedAndNotRepeated(t *testing.T) {
	t.Parallel()
	good := newBrowser(t).keys()
	point := decode64(t, good.P256DH)
	point[64] ^= 1
	tests := map[string]struct {
		keys Keys
		want string
	}{
		"good":             {keys: *good},
		"padded":           {keys: Keys{P256DH: good.P256DH + "=", Auth: good.Auth + "=="}},
		"no key":           {keys: Keys{Auth: good.Auth}, want: "keys/p256dh: not an uncompressed point"},
		"not base64":       {keys: Keys{P256DH: "+/secret", Auth: good.Auth}, want: "keys/p256dh: not URL-safe base64"},
		"not on the curve": {keys: Keys{P256DH: encode64(point), Auth: good.Auth}, want: "keys/p256dh: not an uncompressed point"},
		"compressed":       {keys: Keys{P256DH: encode64(append([]byte{2}, point[1:33]...)), Auth: good.Auth}, want: "not an uncompressed"},
		"auth not base64":  {keys: Keys{P256DH: good.P256DH, Auth: "!secret"}, want: "keys/auth: not URL-safe base64"},
		"auth too short":   {keys: Keys{P256DH: good.P256DH, Auth: "c2VjcmV0"}, want: "keys/auth: 6 octets: send 16"},
	}
	for name, tc := range tests {
		_, _, err := tc.keys.parse()
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: parse = %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: parse = %v, want %q", name, err, tc.want)
		}
		if _, err := seal(nil, &tc.keys); (err != nil) != (tc.want != "") {
			t.Errorf("%s: seal = %v", name, err)
		}
	}
}

func FuzzKeysAreEitherUsableOrRefused(f *testing.F) {
	good := newBrowser(f).keys()
	f.Add(good.P256DH, good.Auth)
	f.Add("", "")
	f.Add("BA==", "AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, point, auth string) {
		keys := &Keys{P256DH: point, Auth: auth}
		_, _, bad := keys.parse()
		if _, err := seal([]byte("x"), keys); (err == nil) != (bad == nil) {
			t.Fatalf("parse = %v, seal = %v", bad, err)
		}
	})
}
