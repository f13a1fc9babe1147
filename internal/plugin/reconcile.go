package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func (p *plugin) newReconcile() *cobra.Command {
	var (
		wait    bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "reconcile KIND/NAME",
		Short: "Have the controllers look at an object now",
		Long: `Have the controllers look at an object now.

With --wait, the command ends when the object is ready, with an error that says why when
it cannot get ready without a change, or when the time is over.`,
		Example:           "  kubectl bailiwick reconcile tenant/contoso -n contoso --wait",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := p.target(args[0])
			if err != nil {
				return err
			}
			c, err := p.connect()
			if err != nil {
				return err
			}
			if wait {
				return p.reconcileAndWait(cmd.Context(), c, t, timeout)
			}
			_, err = p.reconcile(cmd.Context(), c, t)
			if err != nil {
				return err
			}
			return p.say("%s is to be reconciled", t)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the object is ready")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait at most")
	return cmd
}

// reconcile asks for a reconcile, and gives the value by which it is echoed.
func (p *plugin) reconcile(ctx context.Context, c *cluster, t target) (string, error) {
	at := p.now().UTC().Format(time.RFC3339Nano)
	return at, c.annotate(ctx, t, v1alpha1.AnnotationRequestedAt, &at)
}

func (p *plugin) reconcileAndWait(ctx context.Context, c *cluster, t target, timeout time.Duration) error {
	at, err := p.reconcile(ctx, c, t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := c.await(ctx, t, at); err != nil {
		return err
	}
	return p.say("%s is ready", t)
}

// await returns once the object is ready, or why it is not.
func (c *cluster) await(ctx context.Context, t target, at string) error {
	const interval = 500 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last := &standing{target: t}
	for {
		s, err := c.standing(ctx, t)
		switch {
		case err == nil:
			last = s
		case ctx.Err() == nil:
			return err
		}
		if done, err := last.settled(at); done {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s is not ready in time: %s", t, last.why(at))
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// standing is what an object itself tells of how it stands.
type standing struct {
	target     target
	generation int64
	deleting   bool
	// annotations and status of the object.
	annotations map[string]string
	status      v1alpha1.ReconcileStatus
}

func (c *cluster) standing(ctx context.Context, t target) (*standing, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(t.kind.gvk())
	if err := c.reader.Get(ctx, t.key(), u); err != nil {
		return nil, t.request("get").failed(err)
	}
	s := &standing{target: t, generation: u.GetGeneration(), deleting: u.GetDeletionTimestamp() != nil, annotations: u.GetAnnotations()}
	if status, ok := u.Object["status"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &s.status); err != nil {
			return nil, fmt.Errorf("read the status of %s: %w", t, err)
		}
	}
	return s, nil
}

// held tells whether the object is paused.
func (s *standing) held() bool { return s.annotations[v1alpha1.AnnotationPaused] == "true" }

// condition is one of the object's that is True; nil when it is not.
func (s *standing) condition(kind string) *metav1.Condition {
	c := meta.FindStatusCondition(s.status.Conditions, kind)
	if c == nil || c.Status != metav1.ConditionTrue {
		return nil
	}
	return c
}

// handled tells whether a request was handled, or one that came after it.
func (s *standing) handled(at string) bool {
	echo := s.status.LastHandledReconcileAt
	return echo != "" && (echo == at || echo == s.annotations[v1alpha1.AnnotationRequestedAt])
}

// settled tells whether a request led somewhere: to nil when the object is ready in the
// generation that it has, or to why it will not be.
func (s *standing) settled(at string) (bool, error) {
	switch {
	case s.held():
		return true, fmt.Errorf("%s is paused, which leaves it as it is: resume it with `kubectl bailiwick resume`", s.target)
	case s.deleting:
		return true, fmt.Errorf("%s is being deleted: see its condition %s", s.target, v1alpha1.ConditionDeleting)
	case !s.handled(at) || s.status.ObservedGeneration != s.generation:
		return false, nil
	case s.condition(v1alpha1.ConditionReady) != nil:
		return true, nil
	}
	if c := s.condition(v1alpha1.ConditionStalled); c != nil {
		return true, fmt.Errorf("%s does not get ready: %s: %s", s.target, c.Reason, c.Message)
	}
	return false, nil
}

// why is what is known of why the object is not ready.
func (s *standing) why(at string) string {
	if !s.handled(at) {
		return "no controller has looked at it: see whether the operator runs"
	}
	if c := meta.FindStatusCondition(s.status.Conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason + ": " + c.Message
	}
	return "it has no condition Ready"
}
