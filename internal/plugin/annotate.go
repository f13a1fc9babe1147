package plugin

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// fieldManager owns the annotations that the plugin writes.
const fieldManager = "kubectl-bailiwick"

func (p *plugin) newPause() *cobra.Command {
	return p.newAnnotate(&cobra.Command{
		Use:   "pause KIND/NAME",
		Short: "Leave an object and all that it made as they are",
		Long: `Leave an object and all that it made as they are, until it is resumed.

The controllers do not touch it meanwhile, and do not delete it; what runs goes on, and
what regions enforce stays in force.`,
		Example: "  kubectl bailiwick pause tenant/contoso -n contoso",
	}, true)
}

func (p *plugin) newResume() *cobra.Command {
	return p.newAnnotate(&cobra.Command{
		Use:     "resume KIND/NAME",
		Short:   "Reconcile an object that was paused",
		Example: "  kubectl bailiwick resume tenant/contoso -n contoso",
	}, false)
}

// newAnnotate completes a command that pauses, or resumes.
func (p *plugin) newAnnotate(cmd *cobra.Command, pause bool) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = cobra.ExactArgs(1), p.completeTarget
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := p.target(args[0])
		if err != nil {
			return err
		}
		c, err := p.connect()
		if err != nil {
			return err
		}
		s, err := c.standing(cmd.Context(), t)
		if err != nil {
			return err
		}
		return p.pause(cmd.Context(), c, s, pause)
	}
	return cmd
}

func (p *plugin) pause(ctx context.Context, c *cluster, s *standing, pause bool) error {
	switch {
	case pause && s.held():
		return p.say("%s is paused already", s.target)
	case !pause && !s.held():
		return p.say("%s is not paused", s.target)
	case pause:
		value := "true"
		if err := c.annotate(ctx, s.target, v1alpha1.AnnotationPaused, &value); err != nil {
			return err
		}
		return p.say("%s is paused", s.target)
	}
	if err := c.annotate(ctx, s.target, v1alpha1.AnnotationPaused, nil); err != nil {
		return err
	}
	return p.say("%s is resumed", s.target)
}

// annotate sets an annotation, or removes it when the value is nil.
func (c *cluster) annotate(ctx context.Context, t target, key string, value *string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]*string{key: value}}})
	if err != nil {
		return fmt.Errorf("annotate %s: %w", t, err)
	}
	_, err = t.kind.of(c.metadata, t.namespace).Patch(ctx, t.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return t.request("patch").failed(err)
}
