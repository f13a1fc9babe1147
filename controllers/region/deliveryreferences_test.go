package region

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// peer makes a certificate of a mail server and its key, valid for an hour.
func peer(t testing.TB, from time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail server"}, DNSNames: []string{"mx.example"},
		NotBefore: from, NotAfter: from.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

// referring gives delivery that refers to a ConfigMap "relays" and the Secrets "relay" and "relay-client".
func referring() *v1alpha1.RegionDelivery {
	delivery := fullDelivery()
	delivery.Inbound.SMTP = nil
	return delivery
}

func TestWhatDeliveryRefersToIsCheckedBeforeTheSyncServerStarts(t *testing.T) {
	w := newWorld(t)
	good, goodKey := peer(t, w.now.Add(-time.Minute))
	_, otherKey := peer(t, w.now)
	r := w.region("virginia")
	r.Spec.Delivery = referring()
	w.create(r)
	relays := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "relays", Namespace: w.namespace}}
	relay := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "relay", Namespace: w.namespace}}
	shown := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "relay-client", Namespace: w.namespace}}
	const (
		peers = "spec.delivery.inbound.clientCertificates.caBundle.configMapRef: "
		host  = "spec.delivery.outbound.smartHost.caBundle.secretRef: "
		pair  = "spec.delivery.outbound.smartHost.clientCertificateSecretRef: "
	)
	steps := []struct {
		change          func()
		reason, message string
	}{
		{func() {}, v1alpha1.ReasonConfigMapNotFound, peers + `ConfigMap "relays" does not exist: create it with the PEM certificates of the authority under the key "roots.pem"`},
		{func() { w.create(relays) }, v1alpha1.ReasonConfigMapMalformed, peers + `ConfigMap "relays" has nothing under the key "roots.pem": put the PEM certificates of the authority there`},
		{
			func() { relays.Data = map[string]string{"roots.pem": goodKey}; w.update(relays) }, v1alpha1.ReasonInvalidCertificate,
			peers + `ConfigMap "relays", key "roots.pem": PEM block 1 is a "PRIVATE KEY", not a CERTIFICATE: put the PEM certificates of the authority there, and nothing else`,
		},
		{
			func() { relays.Data = map[string]string{"roots.pem": good}; w.update(relays) }, v1alpha1.ReasonSecretNotFound,
			host + `Secret "relay" does not exist: create it with the PEM certificates of the authority under the key "roots.pem"`,
		},
		{
			func() { relay.StringData = map[string]string{"roots.pem": "noise"}; w.create(relay) }, v1alpha1.ReasonInvalidCertificate,
			host + `Secret "relay", key "roots.pem": no PEM certificate: put the PEM certificates of the authority there, and nothing else`,
		},
		{
			func() { relay.StringData = map[string]string{"roots.pem": good}; w.update(relay) }, v1alpha1.ReasonSecretNotFound,
			pair + `Secret "relay-client" does not exist: create it with a PEM certificate that the smart host knows under the key "tls.crt"`,
		},
		{
			func() { shown.StringData = map[string]string{"tls.crt": good}; w.create(shown) }, v1alpha1.ReasonSecretMalformed,
			pair + `Secret "relay-client" has nothing under the key "tls.key": put the PEM key of the certificate there`,
		},
		{
			func() { shown.StringData = map[string]string{"tls.key": otherKey}; w.update(shown) }, v1alpha1.ReasonInvalidCertificate,
			pair + `Secret "relay-client": tls.crt and tls.key are no PEM certificate with its key: write the pair that the smart host knows`,
		},
		{
			func() { shown.StringData = map[string]string{"tls.key": goodKey}; w.update(shown) }, v1alpha1.ReasonReady,
			fmt.Sprintf("mail comes in by LMTP at virginia-sync-lmtp.%s.svc:2024, mail goes out by relay.agency.us:465", w.namespace),
		},
	}
	for i, step := range steps {
		step.change()
		w.now = w.now.Add(countsEvery)
		last := i == len(steps)-1
		if result := w.reconcile(r); result.RequeueAfter == 0 || (!last && result.RequeueAfter > countsEvery) {
			t.Errorf("step %d: looks again after %s", i, result.RequeueAfter)
		}
		got := w.get(r)
		if c := condition(t, got, v1alpha1.ConditionDeliveryReady); c == nil || c.Reason != step.reason || c.Message != step.message {
			t.Errorf("step %d: DeliveryReady is %+v, want %s %q", i, c, step.reason, step.message)
		}
		if stalled := condition(t, got, v1alpha1.ConditionStalled) != nil; stalled == last {
			t.Errorf("step %d: stalled %t", i, stalled)
		}
		err := apiClient.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "virginia-sync"}, &appsv1.StatefulSet{})
		if made := !apierrors.IsNotFound(err); made != last {
			t.Errorf("step %d: the StatefulSet is there: %t (%v)", i, made, err)
		}
		if c := condition(t, got, v1alpha1.ConditionCertificateReady); c.Status != metav1.ConditionTrue {
			t.Errorf("step %d: CertificateReady is %+v: a certificate must not wait for delivery", i, c)
		}
	}
}

// withReferences makes what referring refers to.
func (w *world) withReferences() (relays *corev1.ConfigMap, shown *corev1.Secret) {
	w.t.Helper()
	certificate, key := peer(w.t, w.now.Add(-time.Minute))
	relays = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "relays", Namespace: w.namespace}, Data: map[string]string{"roots.pem": certificate}}
	shown = &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "relay-client", Namespace: w.namespace}, Type: corev1.SecretTypeTLS,
		StringData: map[string]string{"tls.crt": certificate, "tls.key": key},
	}
	w.create(relays)
	w.create(shown)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "relay", Namespace: w.namespace}, StringData: map[string]string{"roots.pem": certificate}})
	return relays, shown
}

func TestPodsAreReplacedByOtherAuthoritiesAndNotByARenewedCertificate(t *testing.T) {
	for name, region := range map[string]func(*world) (*v1alpha1.MailboxRegion, func() map[string]string){
		"embedded": func(w *world) (*v1alpha1.MailboxRegion, func() map[string]string) {
			return w.region("virginia"), func() map[string]string {
				return child(w, "virginia-sync", &appsv1.StatefulSet{}).Spec.Template.Annotations
			}
		},
		"postgres": func(w *world) (*v1alpha1.MailboxRegion, func() map[string]string) {
			w.database("mail-db", goodDSN)
			return w.postgres("virginia"), func() map[string]string {
				return child(w, "virginia-sync", &appsv1.Deployment{}).Spec.Template.Annotations
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			relays, shown := w.withReferences()
			r, annotations := region(w)
			r.Spec.Delivery = referring()
			w.create(r)
			w.reconcile(r)
			first := annotations()
			if first[v1alpha1.AnnotationDelivery] == "" {
				t.Fatalf("annotations of the pods are %v, want %s among them", first, v1alpha1.AnnotationDelivery)
			}
			w.wire.reads.Store(0)
			w.reconcile(r)
			if reads := w.wire.reads.Load(); reads != 0 {
				t.Errorf("%d reads in the same ten minutes, want none", reads)
			}
			certificate, key := peer(t, w.now.Add(-time.Minute))
			shown.StringData = map[string]string{"tls.crt": certificate, "tls.key": key}
			w.update(shown)
			relays.Labels = map[string]string{"touched": "yes"}
			w.update(relays)
			w.now = w.now.Add(storageEvery)
			w.reconcile(r)
			if diff := cmp.Diff(first, annotations()); diff != "" {
				t.Errorf("the pods are replaced although the authorities are the same (-before +after):\n%s", diff)
			}
			relays.Data["roots.pem"] += certificate
			w.update(relays)
			got := w.get(r)
			got.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
			w.update(got)
			w.reconcile(r)
			if cmp.Diff(first, annotations()) == "" {
				t.Error("the pods stay as they are, although the sync server reads the authorities when it starts only")
			}
		})
	}
}

func TestSyncServersThatRunStayAsTheyAreWhileAReferenceIsMissing(t *testing.T) {
	w := newWorld(t)
	w.database("mail-db", goodDSN)
	relays, _ := w.withReferences()
	r := w.postgres("virginia")
	r.Spec.Delivery = referring()
	w.create(r)
	w.reconcile(r)
	before := child(w, "virginia-sync", &appsv1.Deployment{})
	w.delete(relays)
	w.declare(r, func(spec *v1alpha1.MailboxRegionSpec) {
		spec.Autoscaling = &v1alpha1.RegionAutoscaling{MinReplicas: 2, MaxReplicas: 4}
	})
	if got := child(w, "virginia-sync", &appsv1.Deployment{}); got.ResourceVersion != before.ResourceVersion {
		t.Errorf("the Deployment changed: %s", cmp.Diff(before.Spec, got.Spec))
	}
	got := w.get(r)
	c := condition(t, got, v1alpha1.ConditionDeliveryReady)
	if c.Reason != v1alpha1.ReasonConfigMapNotFound || !strings.HasSuffix(c.Message, "; the sync servers stay as they are until then") {
		t.Errorf("DeliveryReady is %+v, want %s that tells of the sync servers", c, v1alpha1.ReasonConfigMapNotFound)
	}
	if got.Status.DesiredReplicas == 0 {
		t.Error("status shows no replicas, although they run")
	}
	w.wire.writes.Store(0)
	w.reconcile(r)
	if writes := w.wire.writes.Load(); writes != 0 {
		t.Errorf("%d writes while nothing can be done, want none", writes)
	}
	w.declare(r, func(spec *v1alpha1.MailboxRegionSpec) { spec.Delivery = nil })
	after := child(w, "virginia-sync", &appsv1.Deployment{})
	if after.Spec.Template.Annotations[v1alpha1.AnnotationDelivery] != "" || *after.Spec.Replicas != 1 {
		t.Errorf("once delivery is taken out, annotations are %v with %d replicas", after.Spec.Template.Annotations, *after.Spec.Replicas)
	}
}

func TestACertificateForTheSmartHostHasToServeNow(t *testing.T) {
	t.Parallel()
	certificate, key := peer(t, epoch)
	for name, test := range map[string]struct {
		now  time.Time
		want string
	}{
		"now":      {epoch.Add(time.Minute), ""},
		"too late": {epoch.Add(2 * time.Hour), "tls.crt expired at 2026-11-23T13:00:00Z: write a new certificate and its key"},
		"too soon": {epoch.Add(-time.Hour), "tls.crt is not valid before 2026-11-23T12:00:00Z: write one that is valid now"},
	} {
		got := ""
		if err := judgePair([]byte(certificate), []byte(key), test.now); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
