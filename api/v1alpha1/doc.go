// Package v1alpha1 holds the custom resources of the group mail.bailiwick.dev: the
// clouds, regions, tenants and policies that a platform team declares.
//
// What a user writes stays as written: there are no schema defaults and no
// defaulting webhook. Defaults are applied by the controllers and shown in status.
//
// +kubebuilder:object:generate=true
// +groupName=mail.bailiwick.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "mail.bailiwick.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package with a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(
		GroupVersion,
		&SovereignCloud{}, &SovereignCloudList{},
		&MailboxRegion{}, &MailboxRegionList{},
		&Tenant{}, &TenantList{},
		&DevicePolicy{}, &DevicePolicyList{},
		&SharedMailbox{}, &SharedMailboxList{},
		&SensitivityLabel{}, &SensitivityLabelList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
