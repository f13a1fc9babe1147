package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// SMIMEVerifyURI names the capability by which S/MIME signatures are verified (RFC 9219 section 3).
const SMIMEVerifyURI = "urn:ietf:params:jmap:smimeverify"

const (
	// smimeFresh is how long a verification that was asked for is not made again.
	smimeFresh = 10 * time.Minute
	// maxVerified bounds how many octets of messages one call reads to verify signatures.
	maxVerified = 256 << 20
	// maxRemembered bounds how many verifications are kept in memory, in each of two generations.
	maxRemembered = 8192
)

// smimeProperties are the properties of an Email that the capability adds (RFC 9219 section 4.1).
var smimeProperties = []string{"smimeStatus", "smimeStatusAtDelivery", "smimeErrors", "smimeVerifiedAt"}

// verification is what is known of the signature of an email.
type verification struct {
	Status smime.Status `json:"s"`
	Errors []string     `json:"e,omitempty"`
	// Delivery is the status as of receivedAt. It does not become worse (RFC 9219 section 4.1).
	Delivery smime.Status `json:"d"`
	// At is when the signature was verified, Until when the outcome may become another one although the trust stays,
	// in milliseconds since 1970; zero is never.
	At    int64 `json:"t,omitempty"`
	Until int64 `json:"u,omitempty"`
	// Trust is the fingerprint of what was trusted.
	Trust string `json:"f,omitempty"`
}

// same says whether a client sees no difference but smimeVerifiedAt.
func (v *verification) same(other *verification) bool {
	return v.Status == other.Status && v.Delivery == other.Delivery && slices.Equal(v.Errors, other.Errors)
}

// current says whether the signature would be verified with the same outcome again.
func (v *verification) current(trust *smime.Trust, now int64) bool {
	return v.At != 0 && v.Trust == trust.Fingerprint() && (v.Until == 0 || now < v.Until)
}

// property returns one of smimeProperties.
func (v *verification) property(name string) any {
	switch {
	case name == "smimeStatus" && v.Status != "":
		return v.Status
	case name == "smimeStatusAtDelivery" && v.Delivery != "":
		return v.Delivery
	case name == "smimeErrors" && len(v.Errors) > 0:
		return v.Errors
	case name == "smimeVerifiedAt" && v.At != 0:
		return utcDate(v.At / 1000 * 1000)
	default:
		return nil
	}
}

// verify makes the verification of a signature now. What is known of it already may be nil.
func verify(s *smime.Signature, trust *smime.Trust, now, received int64, known *verification) (*verification, []smime.Certificate) {
	if s.Status() != smime.StatusSigned || trust == nil {
		return &verification{Status: s.Status(), Delivery: s.Status()}, nil
	}
	verdict := s.Judge(trust, time.UnixMilli(now))
	v := &verification{Status: verdict.Status, Errors: verdict.Errors, At: now, Trust: trust.Fingerprint()}
	if !verdict.Until.IsZero() {
		v.Until = verdict.Until.UnixMilli()
	}
	if known != nil && known.Delivery == smime.StatusVerified {
		v.Delivery = known.Delivery
	} else {
		v.Delivery = s.Judge(trust, time.UnixMilli(received)).Status
	}
	return v, verdict.Certificates
}

// trust is whose signatures the tenant believes; nil when it does not use S/MIME.
func (s *Service) trust(tenant string) *smime.Trust {
	if s.opts.Trust == nil {
		return nil
	}
	return s.opts.Trust(tenant)
}

// createSignature keeps what the signature of a new email is worth.
func (e *edit) createSignature(m *email, signature *smime.Signature) error {
	trust := e.service.trust(e.tenant)
	if m.SMIME != smime.StatusSigned || trust == nil {
		return nil
	}
	v, certificates := verify(signature, trust, e.service.opts.Now().UnixMilli(), m.Received, nil)
	if err := e.keepCertificates(certificates); err != nil {
		return err
	}
	return e.setJSON(e.keys.signature(m.ID), v)
}

// verifier tells of the signatures of emails to one call, and remembers what turned out.
type verifier struct {
	service *Service
	account string
	tenant  string
	trust   *smime.Trust
	now     int64
	// names are the properties that the call asks for.
	names []string
	// left is how many octets of messages may still be read.
	left int64
	// turned are those whose visible outcome became another one.
	turned map[string]*verification
}

func (s *Service) newVerifier(account, tenant string) *verifier {
	return &verifier{
		service: s, account: account, tenant: tenant, trust: s.trust(tenant), now: s.opts.Now().UnixMilli(),
		left: maxVerified, turned: map[string]*verification{},
	}
}

// of returns what is known of the signature of an email. A fresh answer is at most smimeFresh old; else one that would
// not be another if it were.
func (v *verifier) of(ctx context.Context, r store.Reader, m *email, fresh bool) (*verification, error) {
	if m.SMIME != smime.StatusSigned {
		return &verification{Status: m.SMIME, Delivery: m.SMIME}, nil
	}
	stored := &verification{}
	exists, err := readJSON(ctx, r, keys(v.account).signature(m.ID), stored)
	if err != nil {
		return nil, err
	}
	if !exists {
		stored = &verification{Status: smime.StatusSigned, Delivery: smime.StatusSigned}
	}
	if v.trust == nil {
		return &verification{Status: smime.StatusSigned, Delivery: stored.Delivery}, nil
	}
	latest := v.service.verified.get(v.account, m.ID, stored)
	if latest.current(v.trust, v.now) && (!fresh || v.now-latest.At < smimeFresh.Milliseconds()) {
		return latest, nil
	}
	made, err := v.again(ctx, m, stored)
	if err != nil {
		return nil, err
	}
	if made.same(stored) {
		v.service.verified.put(v.account, m.ID, made)
	} else {
		v.turned[m.ID] = made
	}
	return made, nil
}

// again verifies the signature of an email. What was found at delivery stays, unless more is trusted since.
func (v *verifier) again(ctx context.Context, m *email, stored *verification) (*verification, error) {
	if v.left -= m.Size; v.left < 0 && v.left+m.Size < maxVerified {
		return nil, &jmap.MethodError{
			Type:        jmap.ErrorServerUnavailable,
			Description: "too many signatures are to be verified at once: ask again, those that were stay verified, or ask for fewer emails",
		}
	}
	object, err := v.service.blobs.Open(ctx, v.tenant, m.Blob)
	if err != nil {
		return nil, fmt.Errorf("open message: %w", err)
	}
	data := make([]byte, object.Size())
	_, err = object.ReadAt(data, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, object.Close()); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	made, _ := verify(smime.Open(data, message.Parse(data)), v.trust, v.now, m.Received, stored)
	return made, nil
}

// add adds the properties that the call asks for to an email.
func (v *verifier) add(ctx context.Context, r store.Reader, m *email, object map[string]any) error {
	if len(v.names) == 0 {
		return nil
	}
	known, err := v.of(ctx, r, m, true)
	if err != nil {
		return err
	}
	for _, name := range v.names {
		object[name] = known.property(name)
	}
	return nil
}

// keep writes the outcomes that became others, each a change of its email (RFC 9219 section 4.3). When another process
// writes the account, it is left to the next call.
func (v *verifier) keep(ctx context.Context) error {
	if len(v.turned) == 0 {
		return nil
	}
	err := v.service.journal.Update(ctx, v.account, func(tx *store.Tx) error {
		e := newEdit(ctx, v.service, tx, v.account, v.tenant)
		for id, made := range v.turned {
			m, err := e.email(id)
			if err != nil {
				return err
			}
			if m == nil {
				continue
			}
			if err := e.setJSON(e.keys.signature(id), made); err != nil {
				return err
			}
			tx.Changed(store.Change{Type: typeEmail, ID: id, Kind: store.Updated})
		}
		return nil
	})
	if errors.Is(err, store.ErrLeased) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// cutSMIME takes the properties of the capability out of those that a call asks for, when it may.
func cutSMIME(call *jmap.Call, properties []string) (rest, names []string) {
	if properties == nil || !call.Using[SMIMEVerifyURI] {
		return properties, nil
	}
	rest = []string{}
	for _, name := range properties {
		if slices.Contains(smimeProperties, name) {
			names = append(names, name)
		} else {
			rest = append(rest, name)
		}
	}
	return rest, names
}

// verified remembers verifications that are worth no write, because they came out as the ones before. The older of its
// two generations is forgotten when the younger is full.
type verified struct {
	mu           sync.Mutex
	young, older map[string]*verification
}

// get returns the latest verification of an email: the stored one, or a later one that came out the same.
func (k *verified) get(account, id string, stored *verification) *verification {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := account + "/" + id
	have := k.young[key]
	if have == nil {
		have = k.older[key]
	}
	if have != nil && have.At >= stored.At && have.same(stored) {
		return have
	}
	return stored
}

func (k *verified) put(account, id string, v *verification) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.young == nil || len(k.young) >= maxRemembered {
		k.older, k.young = k.young, map[string]*verification{}
	}
	k.young[account+"/"+id] = v
}
