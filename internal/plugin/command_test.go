package plugin

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func TestTheSubcommandsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	b := &bench{t: t}
	root := b.plugin().command()
	root.InitDefaultCompletionCmd()
	var names []string
	for _, cmd := range root.Commands() {
		names = append(names, cmd.Name())
	}
	slices.Sort(names)
	want := []string{"completion", "pause", "reconcile", "report", "resume", "status", "version"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("subcommands (-want +got):\n%s", diff)
	}
}

func TestVersionIsTheOneThatWasBuilt(t *testing.T) {
	t.Parallel()
	b := &bench{t: t}
	if err := b.run("version"); err != nil {
		t.Fatal(err)
	}
	if got := b.out.String(); !strings.HasPrefix(got, "kubectl-bailiwick v0.1.0 go") {
		t.Errorf("version is %q", got)
	}
}

func TestEachShellHasItsCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "fish", "powershell", "zsh"} {
		b := &bench{t: t}
		if err := b.run("completion", shell); err != nil || !strings.Contains(b.out.String(), "kubectl-bailiwick") {
			t.Errorf("%s: %v, %d octets", shell, err, b.out.Len())
		}
	}
}

func TestWordsAreCompleted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want []string
	}{
		"kinds":              {[]string{"pause", "s"}, []string{"sovereigncloud/", "sharedmailbox/", "sensitivitylabel/"}},
		"objects":            {[]string{"reconcile", "tenant/c"}, []string{"tenant/contoso"}},
		"short kinds":        {[]string{"resume", "scl/"}, []string{"scl/worldwide"}},
		"another namespace":  {[]string{"reconcile", "-n", "regions-eu", "mbr/"}, []string{"mbr/paris"}},
		"no second object":   {[]string{"pause", "tenant/contoso", ""}, nil},
		"tenants":            {[]string{"status", ""}, []string{"contoso"}},
		"formats":            {[]string{"status", "-o", ""}, []string{"json", "yaml"}},
		"colours":            {[]string{"status", "--color", ""}, []string{"auto", "always", "never"}},
		"no shell":           {[]string{"completion", ""}, []string{"bash", "fish", "powershell", "zsh"}},
		"namespaces, unread": {[]string{"status", "-n", ""}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t, objects: objects(t, "healthy.yaml")}
			if err := b.complete(test.args...); err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(b.out.String()) {
				if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
					got = append(got, word)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("offered (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATargetIsReadOrRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ want, err string }{
		"tenant/contoso":                     {want: "tenant/contoso in contoso"},
		"Tenants/contoso":                    {want: "tenant/contoso in contoso"},
		"ten/contoso":                        {want: "tenant/contoso in contoso"},
		"tenants.mail.bailiwick.dev/contoso": {want: "tenant/contoso in contoso"},
		"scl/worldwide":                      {want: "sovereigncloud/worldwide"},
		"tenant":                             {err: `"tenant" names no object: give KIND/NAME, such as tenant/contoso`},
		"tenant/":                            {err: `"tenant/" names no object: give KIND/NAME, such as tenant/contoso`},
		"/contoso":                           {err: `"/contoso" names no object: give KIND/NAME, such as tenant/contoso`},
		"tenant/a/b":                         {err: `"tenant/a/b" names no object: give KIND/NAME, such as tenant/contoso`},
		"tenants.example.com/contoso":        {err: `"tenants.example.com" is no kind of Bailiwick: give one of sovereigncloud, mailboxregion, tenant, devicepolicy, sharedmailbox, sensitivitylabel`},
	}
	for arg, test := range tests {
		t.Run(arg, func(t *testing.T) {
			t.Parallel()
			p := (&bench{t: t}).plugin()
			*p.flags.Namespace = "contoso"
			got, err := p.target(arg)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("error is %v, want %s", err, test.err)
				}
				return
			}
			if err != nil || got.String() != test.want {
				t.Errorf("target is %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestARequestIsSettledOnlyWhenItIsHandledInTheNewestGeneration(t *testing.T) {
	t.Parallel()
	const at = "2026-11-26T12:00:00Z"
	condition := func(kind string, status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: "Why", Message: "what to do"}
	}
	ready, stalled := condition(v1alpha1.ConditionReady, metav1.ConditionTrue), condition(v1alpha1.ConditionStalled, metav1.ConditionTrue)
	unready := condition(v1alpha1.ConditionReady, metav1.ConditionFalse)
	tests := map[string]struct {
		echo       string
		asked      string
		paused     string
		observed   int64
		deleting   bool
		conditions []metav1.Condition
		done       bool
		err, why   string
	}{
		"not handled":          {echo: "", asked: at, observed: 2, conditions: []metav1.Condition{ready}, why: "no controller has looked at it: see whether the operator runs"},
		"an older one handled": {echo: "before", asked: at, observed: 2, conditions: []metav1.Condition{ready}, why: "no controller has looked at it: see whether the operator runs"},
		"another generation":   {echo: at, asked: at, observed: 1, conditions: []metav1.Condition{ready}, why: "Why: what to do"},
		"ready":                {echo: at, asked: at, observed: 2, conditions: []metav1.Condition{ready}, done: true},
		"a later one handled":  {echo: "later", asked: "later", observed: 2, conditions: []metav1.Condition{ready}, done: true},
		"the request was lost": {echo: "", asked: "", observed: 2, conditions: []metav1.Condition{ready}, why: "no controller has looked at it: see whether the operator runs"},
		"at work":              {echo: at, asked: at, observed: 2, conditions: []metav1.Condition{unready}, why: "Why: what to do"},
		"stalled":              {echo: at, asked: at, observed: 2, conditions: []metav1.Condition{unready, stalled}, done: true, err: "tenant/contoso in contoso does not get ready: Why: what to do"},
		"paused":               {echo: "", asked: at, paused: "true", done: true, err: "tenant/contoso in contoso is paused, which leaves it as it is: resume it with `kubectl bailiwick resume`"},
		"deleting":             {echo: "", asked: at, deleting: true, done: true, err: "tenant/contoso in contoso is being deleted: see its condition Deleting"},
		"nothing told":         {echo: at, asked: at, observed: 2, why: "it has no condition Ready"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &standing{
				target: target{kind: tenants, namespace: "contoso", name: "contoso"}, generation: 2, deleting: test.deleting,
				annotations: map[string]string{v1alpha1.AnnotationRequestedAt: test.asked, v1alpha1.AnnotationPaused: test.paused},
				status:      v1alpha1.ReconcileStatus{Conditions: test.conditions, ObservedGeneration: test.observed, LastHandledReconcileAt: test.echo},
			}
			done, err := s.settled(at)
			message := ""
			if err != nil {
				message = err.Error()
			}
			if done != test.done || message != test.err {
				t.Errorf("settled: %t, %q, want %t, %q", done, message, test.done, test.err)
			}
			if got := s.why(at); !test.done && got != test.why {
				t.Errorf("why: %q, want %q", got, test.why)
			}
		})
	}
}
