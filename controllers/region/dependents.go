package region

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

const (
	kindSecret    = "Secret"
	kindConfigMap = "ConfigMap"
	kindService   = "Service"
	kindClaim     = "PersistentVolumeClaim"

	kindStatefulSet = "StatefulSet"
	kindDeployment  = "Deployment"
)

// judges answer the question of one condition each, in the order in which a person
// should read them.
var judges = []struct {
	condition string
	judge     func(*Facts, Decision, Outcome) conditions.Dependent
}{
	{v1alpha1.ConditionCloudReady, judgeCloud},
	{v1alpha1.ConditionClusterReachable, judgeCluster},
	{v1alpha1.ConditionCertificateReady, judgeCertificate},
	{v1alpha1.ConditionStorageReady, judgeStorage},
	{v1alpha1.ConditionEndpointReady, judgeEndpoint},
	{v1alpha1.ConditionDeliveryReady, judgeDelivery},
	{v1alpha1.ConditionWorkloadAvailable, judgeWorkload},
	{v1alpha1.ConditionTenantsSynced, judgeTenants},
}

// dependents are the conditions on which Ready depends. An obstacle, or an object
// that the API server refused, is told by the condition that it belongs to. While
// there is an obstacle and nothing exists yet, the others are not known.
func dependents(f *Facts, d Decision, out Outcome) []conditions.Dependent {
	list := make([]conditions.Dependent, 0, len(judges))
	for _, j := range judges {
		switch o, failure := obstacleOf(d, j.condition), failureOf(out, j.condition); {
		case o != nil:
			list = append(list, conditions.Blocked(j.condition, o.Reason, o.Message))
		case failure != nil:
			list = append(list, refused(j.condition, *failure))
		case len(d.Obstacles) > 0 && !f.running() && !independent(j.condition):
			list = append(list, conditions.Unknown(j.condition, d.Obstacles[0].Reason, "nothing is made while "+d.Obstacles[0].Condition+" is false"))
		default:
			list = append(list, j.judge(f, d, out))
		}
	}
	return list
}

// independent conditions can be told without anything that the region makes.
func independent(condition string) bool {
	return condition == v1alpha1.ConditionCloudReady || condition == v1alpha1.ConditionClusterReachable
}

func obstacleOf(d Decision, condition string) *Obstacle {
	i := slices.IndexFunc(d.Obstacles, func(o Obstacle) bool { return o.Condition == condition })
	if i < 0 {
		return nil
	}
	return &d.Obstacles[i]
}

func failureOf(out Outcome, condition string) *apply.Failure {
	i := slices.IndexFunc(out.Failures, func(failure apply.Failure) bool { return conditionOf(failure) == condition })
	if i < 0 {
		return nil
	}
	return &out.Failures[i]
}

// conditionOf tells which condition speaks of an object.
func conditionOf(failure apply.Failure) string {
	switch failure.Kind {
	case kindSecret:
		return v1alpha1.ConditionCertificateReady
	case kindService:
		if ofMailPort(failure.Name) {
			return v1alpha1.ConditionDeliveryReady
		}
		return v1alpha1.ConditionEndpointReady
	case kindClaim:
		return v1alpha1.ConditionStorageReady
	case kindConfigMap:
		return v1alpha1.ConditionTenantsSynced
	default:
		return v1alpha1.ConditionWorkloadAvailable
	}
}

// refused tells of an object that could not be written. What a second try may
// repair is not spelled out: its text changes from try to try.
func refused(condition string, failure apply.Failure) conditions.Dependent {
	err := failure.Err
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || errors.Is(err, apply.ErrForeign) {
		return conditions.Blocked(condition, v1alpha1.ReasonApplyFailed, failure.Error())
	}
	return conditions.Waiting(condition, v1alpha1.ReasonApplyFailed,
		fmt.Sprintf("%s %q could not be written, it is tried again", failure.Kind, failure.Name))
}

func judgeCloud(f *Facts, _ Decision, _ Outcome) conditions.Dependent {
	return conditions.True(v1alpha1.ConditionCloudReady, v1alpha1.ReasonReady,
		fmt.Sprintf("%s lies in geography %q of cloud %q", f.Region.Spec.Country, f.Region.Spec.Geography, f.Region.Spec.Cloud))
}

func judgeCluster(*Facts, Decision, Outcome) conditions.Dependent {
	return conditions.True(v1alpha1.ConditionClusterReachable, v1alpha1.ReasonLocal, "the region runs in the operator's own cluster")
}

func judgeCertificate(f *Facts, d Decision, out Outcome) conditions.Dependent {
	const condition = v1alpha1.ConditionCertificateReady
	if d.Certificate.Action != authority.Wait {
		if s := out.Serving; s == nil || s.Problem != "" || !f.Now.Before(s.NotAfter) {
			return conditions.Waiting(condition, v1alpha1.ReasonCertificatePending, "there is no valid serving certificate yet")
		}
		return conditions.True(condition, v1alpha1.ReasonCertificateIssued,
			fmt.Sprintf("issued by the authority of cloud %q", f.Region.Spec.Cloud))
	}
	message := fmt.Sprintf("%s: see SovereignCloud %q", d.Certificate.Reason, f.Region.Spec.Cloud)
	switch {
	case f.AuthorityProblem != "":
		return conditions.Blocked(condition, v1alpha1.ReasonAuthorityMalformed, message)
	case f.Authority != nil && f.Authority.Expired(f.Now):
		return conditions.Blocked(condition, v1alpha1.ReasonAuthorityExpired, message)
	default:
		return conditions.Waiting(condition, v1alpha1.ReasonCloudNotReady, message)
	}
}

// requested is the storage that a claim asks for.
func requested(requests corev1.ResourceList) *resource.Quantity {
	size := requests[corev1.ResourceStorage]
	return &size
}

// judgeEndpoint does not tell a Service that was just applied from one that the
// cache shows: the first status is to hold until something else happens.
func judgeEndpoint(f *Facts, _ Decision, _ Outcome) conditions.Dependent {
	const condition = v1alpha1.ConditionEndpointReady
	service := namesOf(f.Region).sync()
	endpoint := f.Region.Spec.Endpoint.Service
	if endpoint != nil && endpoint.Type == v1alpha1.ServiceLoadBalancer && len(loadBalancer(f.Service)) == 0 {
		return conditions.Waiting(condition, v1alpha1.ReasonAddressPending, fmt.Sprintf("Service %q has no load balancer address: see its events", service))
	}
	url := endpointURL(f.Region.Spec.Endpoint.Hostname)
	return conditions.True(condition, v1alpha1.ReasonReady, fmt.Sprintf("%s is served by Service %q", url, service))
}

func judgeTenants(f *Facts, _ Decision, _ Outcome) conditions.Dependent {
	const condition = v1alpha1.ConditionTenantsSynced
	if f.Together.Problem != "" {
		return conditions.Waiting(condition, v1alpha1.ReasonNotEnforcedYet, "the report of the sync server is unreadable: "+f.Together.Problem)
	}
	var behind, refusing []string
	for _, t := range f.Tenants {
		enforced := f.Together.Tenants[t.Name]
		switch {
		case enforced.Refused != "":
			refusing = append(refusing, t.Name)
		case t.Generation > 0 && (enforced.UID != t.UID || enforced.Generation < t.Generation):
			behind = append(behind, t.Name)
		}
	}
	switch {
	case len(refusing) > 0:
		return conditions.Blocked(condition, v1alpha1.ReasonDocumentRefused,
			fmt.Sprintf("the sync server refuses the document of %s: %s", named(refusing), f.Together.Tenants[refusing[0]].Refused))
	case len(behind) > 0:
		return conditions.Waiting(condition, v1alpha1.ReasonNotEnforcedYet, "the sync server does not enforce the newest document of "+named(behind)+" yet")
	default:
		return conditions.True(condition, v1alpha1.ReasonSynced, "every tenant's newest document is enforced")
	}
}
