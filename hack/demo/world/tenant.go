package world

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
	"github.com/bailiwick-dev/bailiwick/hack/demo/propagation"
)

// Propagation suspends and resumes a tenant a number of times and measures how long its
// region takes to act on each change.
func (w *World) Propagation(ctx context.Context, r cast.Resident, pairs int) (propagation.Result, error) {
	token, err := w.Token(ctx, r.Cloud, r.Email, false)
	if err != nil {
		return propagation.Result{}, err
	}
	client, err := w.HTTP()
	if err != nil {
		return propagation.Result{}, err
	}
	defer client.CloseIdleConnections()
	url := w.Region(r.Region).URL + "/.well-known/jmap"
	return propagation.Measure(ctx, propagation.Switch{
		Set:      func(ctx context.Context, suspended bool) error { return w.suspend(ctx, r.Tenant, suspended) },
		Enforced: func(ctx context.Context) (bool, error) { return refused(ctx, client, url, token) },
	}, pairs)
}

// suspend changes a Tenant as `kubectl apply` of a changed file would; the field is
// taken out again to resume, so that the object ends as config/samples has it.
func (w *World) suspend(ctx context.Context, tenant cast.Object, suspended bool) error {
	value := "null"
	if suspended {
		value = "true"
	}
	patch := []byte(`{"spec":{"suspend":` + value + `}}`)
	objects := w.Cluster.Dynamic.Resource(kube.Tenants).Namespace(tenant.Namespace)
	if _, err := objects.Patch(ctx, tenant.Name, types.MergePatchType, patch, kube.PatchOptions); err != nil {
		return fmt.Errorf("suspend tenant %q: %w", tenant, err)
	}
	return nil
}

// refused reports whether the session resource refuses a good token.
func refused(ctx context.Context, client *http.Client, url, token string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return false, err
	}
	if err := response.Body.Close(); err != nil {
		return false, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return false, nil
	case http.StatusForbidden:
		return true, nil
	default:
		return false, fmt.Errorf("session: status %q", response.Status)
	}
}
