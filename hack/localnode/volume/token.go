package volume

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const defaultTokenSeconds = 3600

// Tokens requests service account tokens bound to pods and keeps each until four fifths of its life are over.
// It is safe for concurrent use.
type Tokens struct {
	Client kubernetes.Interface
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu    sync.Mutex
	cache map[string]held
}

type held struct {
	pod     string
	token   string
	refresh time.Time
}

// Token implements TokenSource with the TokenRequest API. The token stops working when the pod is deleted.
func (t *Tokens) Token(ctx context.Context, pod *corev1.Pod, projection *corev1.ServiceAccountTokenProjection) (string, time.Time, error) {
	seconds := int64(defaultTokenSeconds)
	if projection.ExpirationSeconds != nil {
		seconds = *projection.ExpirationSeconds
	}
	key := fmt.Sprintf("%s %s %d", pod.UID, projection.Audience, seconds)
	now := t.now()
	if found, ok := t.cached(key); ok && now.Before(found.refresh) {
		return found.token, found.refresh, nil
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if projection.Audience != "" {
		request.Spec.Audiences = []string{projection.Audience}
	}
	answer, err := t.Client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, account(pod), request, metav1.CreateOptions{})
	if err != nil {
		return "", time.Time{}, err
	}
	life := answer.Status.ExpirationTimestamp.Sub(now)
	fresh := held{pod: string(pod.UID), token: answer.Status.Token, refresh: now.Add(life * 4 / 5)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cache == nil {
		t.cache = map[string]held{}
	}
	t.cache[key] = fresh
	return fresh.token, fresh.refresh, nil
}

// Forget drops the tokens of a pod that is gone.
func (t *Tokens) Forget(pod *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, entry := range t.cache {
		if entry.pod == string(pod.UID) {
			delete(t.cache, key)
		}
	}
}

func (t *Tokens) cached(key string) (held, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.cache[key]
	return found, ok
}

func (t *Tokens) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

func account(pod *corev1.Pod) string {
	if pod.Spec.ServiceAccountName != "" {
		return pod.Spec.ServiceAccountName
	}
	return "default"
}
