package region

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func TestTheNameOfACellIsALabelOfItsSecretAndKeyAlone(t *testing.T) {
	t.Parallel()
	refs := []v1alpha1.SecretKeyReference{
		{Name: "mail", Key: "dsn"},
		{Name: "mail", Key: "dsn.2"},
		{Name: "mail.dsn", Key: "2"},
		{Name: v1alpha1.ObjectName(strings.Repeat("long.", 50) + "x"), Key: "dsn"},
		{Name: v1alpha1.ObjectName(strings.Repeat("x", 47) + ".y"), Key: "dsn"},
	}
	seen := map[string]bool{}
	for _, ref := range refs {
		name := cellName(ref)
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			t.Errorf("cell %q of %v is no DNS label: %v", name, ref, problems)
		}
		if seen[name] {
			t.Errorf("two databases have the cell %q", name)
		}
		seen[name] = true
	}
	if got, want := cellName(refs[0]), "mail-1429aedba7"; got != want {
		t.Errorf("cell %q, want %q for ever: accounts are found by it", got, want)
	}
}

func TestTheOrderOfDatabasesMovesNobody(t *testing.T) {
	t.Parallel()
	paths := func(f *Facts) map[string]string {
		found := map[string]string{}
		for _, source := range storeOf(f.Region).volumes[0].Projected.Sources {
			found[source.Secret.Name] = source.Secret.Items[0].Path
		}
		return found
	}
	f := postgresFullFacts(t)
	before := paths(f)
	refs := f.Region.Spec.Storage.Postgres.DSNSecretRefs
	refs[0], refs[1] = refs[1], refs[0]
	if diff := cmp.Diff(before, paths(f)); diff != "" {
		t.Errorf("files of the databases (-before +after):\n%s", diff)
	}
}

func TestAnEmbeddedStoreCanKeepItsBlobsInABucket(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	f.Region.Spec.Storage.Blobs = postgresFullFacts(t).Region.Spec.Storage.Blobs
	pod := buildPod(f.Region, f.Cloud, "image")
	var arguments []string
	for _, argument := range pod.Containers[0].Args {
		if strings.HasPrefix(argument, "--s3-") || strings.HasPrefix(argument, "--data-dir") {
			arguments = append(arguments, argument)
		}
	}
	want := []string{
		"--data-dir=/var/lib/bailiwick", "--s3-endpoint=https://s3.us-gov.example", "--s3-bucket=virginia-mail",
		"--s3-credentials-file=/var/run/bailiwick/s3/credentials",
	}
	if diff := cmp.Diff(want, arguments); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	last := pod.Volumes[len(pod.Volumes)-1]
	if last.Secret == nil || last.Secret.SecretName != "mail-s3" || last.Secret.Items[0].Key != "credentials" {
		t.Errorf("the credentials are mounted from %+v", last)
	}
}

func TestWhatReplicasSayOfTheStoreIsTold(t *testing.T) {
	t.Parallel()
	one, two := cellName(v1alpha1.SecretKeyReference{Name: "mail.db.one", Key: "dsn"}), cellName(v1alpha1.SecretKeyReference{Name: "mail.db.two", Key: "dsn"})
	at := func(cell string, state tenantdoc.CellState, text string) tenantdoc.CellReport {
		return tenantdoc.CellReport{Cell: cell, State: state, Text: text}
	}
	well := []tenantdoc.CellReport{at(one, tenantdoc.CellReady, ""), at(two, tenantdoc.CellReady, ""), at(tenantdoc.CellBlobs, tenantdoc.CellReady, "")}
	but := func(cell tenantdoc.CellReport) []tenantdoc.CellReport {
		list := []tenantdoc.CellReport{cell}
		for _, c := range well {
			if c.Cell != cell.Cell {
				list = append(list, c)
			}
		}
		return list
	}
	database := `the database of cell "` + one + `" (Secret "mail.db.one", key "dsn") `
	tests := map[string]struct {
		a, b    []tenantdoc.CellReport
		status  metav1.ConditionStatus
		reason  string
		message string
		stalled bool
	}{
		"nothing yet":     {nil, nil, metav1.ConditionUnknown, v1alpha1.ReasonStoragePending, `no sync server has told yet whether it can use ` + strings.TrimSpace(database), false},
		"all is well":     {well, well, metav1.ConditionTrue, v1alpha1.ReasonStorageUsable, "the sync servers use every database", false},
		"one is new":      {well, nil, metav1.ConditionTrue, v1alpha1.ReasonStorageUsable, "the sync servers use every database", false},
		"a cell is new":   {well[1:], well[1:], metav1.ConditionUnknown, v1alpha1.ReasonStoragePending, `no sync server has told yet whether it can use ` + strings.TrimSpace(database), false},
		"a cell is older": {append([]tenantdoc.CellReport{at("gone", tenantdoc.CellDiskFull, "")}, well...), well, metav1.ConditionTrue, v1alpha1.ReasonStorageUsable, "the sync servers use every database", false},
		"authentication": {
			but(at(one, tenantdoc.CellAuthenticationFailed, "")), but(at(one, tenantdoc.CellAuthenticationFailed, "")),
			metav1.ConditionFalse, v1alpha1.ReasonAuthenticationFailed, database + "refuses the credentials: correct the user and the password in the Secret, or let the server accept them", true,
		},
		"unreachable from one node": {
			but(at(one, tenantdoc.CellUnreachable, "")), well, metav1.ConditionFalse, v1alpha1.ReasonStorageUnreachable,
			"for some replicas, " + database + "cannot be reached: check that it runs, that the host and the port are right, and that network policies let the sync pods through", false,
		},
		"version": {
			but(at(one, tenantdoc.CellUnsupportedVersion, "")), nil, metav1.ConditionFalse, v1alpha1.ReasonUnsupportedVersion,
			database + "has a version that the sync server does not work with: upgrade the database to PostgreSQL 15 or later, or run the release of the sync server that wrote the data", true,
		},
		"disk":      {but(at(one, tenantdoc.CellDiskFull, "")), nil, metav1.ConditionFalse, v1alpha1.ReasonDiskFull, database + "has no space left: give it a larger disk", true},
		"read-only": {but(at(one, tenantdoc.CellReadOnly, "")), nil, metav1.ConditionFalse, v1alpha1.ReasonReadOnly, database + "takes no writes: name the primary in the connection string, with target_session_attrs=read-write and every host", false},
		"another": {
			but(at(one, "Haunted", "by\na ghost")), nil, metav1.ConditionFalse, v1alpha1.ReasonStorageFailed, database + "cannot be used: by a ghost", false,
		},
		"a bucket": {
			but(at(tenantdoc.CellBlobs, tenantdoc.CellAuthenticationFailed, "")), nil, metav1.ConditionFalse, v1alpha1.ReasonAuthenticationFailed,
			`the bucket "virginia-mail" (Secret "mail-s3", key "credentials") refuses the credentials: correct the keys in the Secret, or give them the rights that they lack`, true,
		},
		"two databases": {
			[]tenantdoc.CellReport{at(two, tenantdoc.CellDiskFull, ""), at(one, tenantdoc.CellUnreachable, "")},
			nil, metav1.ConditionFalse, v1alpha1.ReasonStorageUnreachable,
			database + "cannot be reached: check that it runs, that the host and the port are right, and that network policies let the sync pods through; " +
				strings.NewReplacer(one, two, "db.one", "db.two").Replace(database) + "has no space left: give it a larger disk", true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := postgresFullFacts(t)
			f.Replicas[0].Storage, f.Replicas[1].Storage = test.a, test.b
			status := statusOf(f)
			c := find(t, status, v1alpha1.ConditionStorageReady)
			if c.Status != test.status || c.Reason != test.reason || c.Message != test.message {
				t.Errorf("StorageReady is %s %s %q, want %s %s %q", c.Status, c.Reason, c.Message, test.status, test.reason, test.message)
			}
			if test.stalled {
				find(t, status, v1alpha1.ConditionStalled)
			}
		})
	}
}

func TestAnEmbeddedStoreThatCannotBeOpenedIsTold(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	f.Claim = buildClaim(f.Region)
	f.Claim.Status.Phase = corev1.ClaimBound
	f.Replicas[0].Storage = []tenantdoc.CellReport{{Cell: tenantdoc.CellEmbedded, State: tenantdoc.CellDiskFull}}
	c := find(t, statusOf(f), v1alpha1.ConditionStorageReady)
	want := `the store on PersistentVolumeClaim "data-virginia-sync-0" has no space left: give it a larger disk`
	if c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonDiskFull || c.Message != want {
		t.Errorf("StorageReady is %s %s %q, want False %s %q", c.Status, c.Reason, c.Message, v1alpha1.ReasonDiskFull, want)
	}
	c = find(t, statusOf(f), v1alpha1.ConditionWorkloadAvailable)
	if want := `Pod "virginia-sync-0" is not ready: the store cannot be used, see StorageReady`; c.Message != want {
		t.Errorf("WorkloadAvailable is %q, want %q", c.Message, want)
	}
}

func TestTheTextOfAReplicaStaysShortAndOnOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "read the log of the sync server",
		"a\nb\t c":               "a b c",
		"\xff":                   "read the log of the sync server",
		strings.Repeat("ä", 200): strings.Repeat("ä", tenantdoc.MaxCellText/2),
	} {
		if got := plain(text); got != want {
			t.Errorf("%q is told as %q, want %q", text, got, want)
		}
	}
}
