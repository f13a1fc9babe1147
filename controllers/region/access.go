package region

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func buildServiceAccount(r *v1alpha1.MailboxRegion) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		ObjectMeta:                   metaOf(r, namesOf(r).sync()),
		AutomountServiceAccountToken: new(false),
	}
}

// buildRole lets the sync servers read the tenant documents and write their own
// reports, which exist already; they can create and delete nothing. A rule without
// names would be one for every ConfigMap, so there is none while there is no report.
func buildRole(r *v1alpha1.MailboxRegion, reports []*corev1.ConfigMap) *rbacv1.Role {
	role := &rbacv1.Role{
		ObjectMeta: metaOf(r, namesOf(r).sync()),
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"}},
		},
	}
	names := make([]string, 0, len(reports))
	for _, report := range reports {
		names = append(names, report.Name)
	}
	if len(names) > 0 {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: names, Verbs: []string{"patch"}})
	}
	return role
}

func buildRoleBinding(r *v1alpha1.MailboxRegion) *rbacv1.RoleBinding {
	name := namesOf(r).sync()
	return &rbacv1.RoleBinding{
		ObjectMeta: metaOf(r, name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: r.Namespace}},
	}
}

// buildReport gives an empty report. The data is the replica's: it is never part of
// what the operator applies.
func buildReport(r *v1alpha1.MailboxRegion, replica string, shard int) *corev1.ConfigMap {
	meta := metaOf(r, tenantdoc.ReportName(replica, shard))
	meta.Labels[tenantdoc.LabelContent] = tenantdoc.ContentReport
	meta.Labels[tenantdoc.LabelReplica] = replica
	return &corev1.ConfigMap{ObjectMeta: meta}
}

// buildSecret gives the serving certificate; data is that of a kubernetes.io/tls
// Secret with ca.crt.
func buildSecret(r *v1alpha1.MailboxRegion, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metaOf(r, namesOf(r).tls()), Type: corev1.SecretTypeTLS, Data: data}
}

// buildBundle publishes the root that clients of the region verify with.
func buildBundle(r *v1alpha1.MailboxRegion, bundle []byte) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metaOf(r, namesOf(r).bundle()),
		Data:       map[string]string{corev1.ServiceAccountRootCAKey: string(bundle)},
	}
}
