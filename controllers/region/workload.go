package region

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Ports of the sync server.
const (
	portHTTPS   = 8443
	portMetrics = 8080
	portService = 443

	portNameHTTPS   = "https"
	portNameMetrics = "metrics"
)

// Paths in the sync pod. They are passed as arguments, each of them.
const (
	pathTLS            = "/var/run/bailiwick/tls"
	pathData           = "/var/lib/bailiwick"
	pathServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	pathTemp           = "/tmp"
	// pathControl is where the commands for backups look when they are not told.
	pathControl = pathTemp + "/control.sock"
)

// Volumes of the sync pod.
const (
	dataVolume  = "data"
	tlsVolume   = "tls"
	tokenVolume = "token"
	tempVolume  = "temp"
)

const (
	// userID is the one user and group of the image; it is not root.
	userID = 65532
	// defaultGrace is how long requests may drain.
	defaultGrace = 30
	// drainDelay is how long load balancers have at most to notice that a pod ends, and
	// drainDelayShare and drainRestShare which parts of the whole time they have at most,
	// and the store has to close.
	drainDelay      = 5 * time.Second
	drainDelayShare = 6
	drainRestShare  = 10
	// tokenSeconds is the lifetime of the service account token; the kubelet
	// replaces it in time.
	tokenSeconds = 3607
	// modeTLS and modeToken let the group of the pod read, and nobody else.
	modeTLS   = 0o440
	modeToken = 0o440
	// memoryShare is the percentage of the memory limit at which the Go runtime
	// works harder to stay below it.
	memoryShare = 90
)

// buildStatefulSet gives the sync server of a region with an embedded store.
// claimSize is the size in the template of the claim, which cannot change once the
// StatefulSet exists: a volume grows by its claim.
func buildStatefulSet(f *Facts, image string, claimSize resource.Quantity) *appsv1.StatefulSet {
	r := f.Region
	return &appsv1.StatefulSet{
		ObjectMeta: metaOf(r, namesOf(r).sync()),
		Spec: appsv1.StatefulSetSpec{
			Replicas:             new(int32(1)),
			RevisionHistoryLimit: new(int32(3)),
			ServiceName:          namesOf(r).pods(),
			Selector:             &metav1.LabelSelector{MatchLabels: selectorOf(r)},
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: claimRetention(r),
				WhenScaled:  appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(r), Annotations: templateAnnotations(f)},
				Spec:       buildPod(r, f.Cloud, image),
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{buildClaimTemplate(r, claimSize)},
		},
	}
}

// templateAnnotations are those of the spec, with the states of what the sync server
// reads when it starts only: another state replaces the pods.
func templateAnnotations(f *Facts) map[string]string {
	annotations := maps.Clone(f.Region.Spec.Template.Annotations)
	for name, revision := range map[string]string{
		v1alpha1.AnnotationDatabases: f.Storage.Revision, v1alpha1.AnnotationDelivery: f.Delivery.Revision,
	} {
		if revision == "" {
			continue
		}
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[name] = revision
	}
	return annotations
}

func claimRetention(r *v1alpha1.MailboxRegion) appsv1.PersistentVolumeClaimRetentionPolicyType {
	if deletionPolicy(r) == v1alpha1.DeletionDelete {
		return appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	}
	return appsv1.RetainPersistentVolumeClaimRetentionPolicyType
}

// deletionPolicy is that of the spec, or Retain.
func deletionPolicy(r *v1alpha1.MailboxRegion) v1alpha1.DeletionPolicy {
	if r.Spec.DeletionPolicy == "" {
		return v1alpha1.DeletionRetain
	}
	return r.Spec.DeletionPolicy
}

// buildClaimTemplate gives the claim without an owner: with Retain it outlives the
// region.
func buildClaimTemplate(r *v1alpha1.MailboxRegion, size resource.Quantity) corev1.PersistentVolumeClaim {
	claim := corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: dataVolume, Labels: labelsOf(r), Annotations: map[string]string{v1alpha1.AnnotationJurisdiction: jurisdiction(r)},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			VolumeMode:  new(corev1.PersistentVolumeFilesystem),
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}
	if class := r.Spec.Storage.Embedded.StorageClassName; class != "" {
		claim.Spec.StorageClassName = &class
	}
	return claim
}

// jurisdiction is where the mail of a region lies. A region never changes it, but a
// claim that is retained may meet a new region of the same name.
func jurisdiction(r *v1alpha1.MailboxRegion) string {
	return fmt.Sprintf("%s/%s/%s", r.Spec.Cloud, r.Spec.Geography, r.Spec.Country)
}

// buildClaim asks for a larger volume. It is applied only to a claim that exists
// and is smaller.
func buildClaim(r *v1alpha1.MailboxRegion) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: namesOf(r).claim(), Namespace: r.Namespace, Labels: labelsOf(r)},
		Spec: corev1.PersistentVolumeClaimSpec{
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: r.Spec.Storage.Embedded.Size}},
		},
	}
}

func buildPod(r *v1alpha1.MailboxRegion, cloud *v1alpha1.SovereignCloud, image string) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName:            namesOf(r).sync(),
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		TerminationGracePeriodSeconds: new(grace(r)),
		NodeSelector:                  maps.Clone(r.Spec.Template.NodeSelector),
		Tolerations:                   r.Spec.Template.Tolerations,
		PriorityClassName:             r.Spec.Template.PriorityClassName,
		TopologySpreadConstraints:     spread(r),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:        new(true),
			RunAsUser:           new(int64(userID)),
			RunAsGroup:          new(int64(userID)),
			FSGroup:             new(int64(userID)),
			FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{buildContainer(r, cloud, image)},
		Volumes:    buildVolumes(r),
	}
}

func grace(r *v1alpha1.MailboxRegion) int64 {
	if seconds := r.Spec.Template.TerminationGracePeriodSeconds; seconds > 0 {
		return seconds
	}
	return defaultGrace
}

// spread keeps the regions of a namespace on different nodes where that is
// possible: each with an embedded store has one replica, and one node shall not take
// them all along.
func spread(r *v1alpha1.MailboxRegion) []corev1.TopologySpreadConstraint {
	if r.Spec.Storage.Postgres != nil {
		return spreadReplicas(r)
	}
	return []corev1.TopologySpreadConstraint{{
		MaxSkew:           1,
		TopologyKey:       corev1.LabelHostname,
		WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector:     &metav1.LabelSelector{MatchLabels: map[string]string{labelName: appName}},
	}}
}

func buildContainer(r *v1alpha1.MailboxRegion, cloud *v1alpha1.SovereignCloud, image string) corev1.Container {
	resources, mail := containerResources(r), deliveryOf(r)
	return corev1.Container{
		Name:            "sync",
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            arguments(r, cloud),
		Env:             environment(cloud, resources),
		Ports: append([]corev1.ContainerPort{
			{Name: portNameHTTPS, ContainerPort: portHTTPS, Protocol: corev1.ProtocolTCP},
			{Name: portNameMetrics, ContainerPort: portMetrics, Protocol: corev1.ProtocolTCP},
		}, mail.ports...),
		Resources: resources,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		StartupProbe:   probe("/healthz", 1, 120),
		LivenessProbe:  probe("/healthz", 10, 6),
		ReadinessProbe: probe("/readyz", 2, 2),
		VolumeMounts: slices.Concat(storeOf(r).mounts, []corev1.VolumeMount{
			{Name: tlsVolume, MountPath: pathTLS, ReadOnly: true},
			{Name: tokenVolume, MountPath: pathServiceAccount, ReadOnly: true},
			{Name: tempVolume, MountPath: pathTemp},
		}, mail.mounts),
	}
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromString(portNameHTTPS), Scheme: corev1.URISchemeHTTPS,
		}},
		PeriodSeconds:    period,
		TimeoutSeconds:   2,
		SuccessThreshold: 1,
		FailureThreshold: failures,
	}
}

// arguments of the sync server. It listens on the address of its pod only.
func arguments(r *v1alpha1.MailboxRegion, cloud *v1alpha1.SovereignCloud) []string {
	list := []string{
		"sync",
		fmt.Sprintf("--region=%s/%s", r.Namespace, r.Name),
		"--cloud=" + string(r.Spec.Cloud),
		"--geography=" + string(r.Spec.Geography),
		"--url=" + endpointURL(r.Spec.Endpoint.Hostname),
		"--address=$(POD_IP)",
		"--port=" + strconv.Itoa(portHTTPS),
		"--metrics-port=" + strconv.Itoa(portMetrics),
		"--tls-dir=" + pathTLS,
	}
	list = append(list, storeOf(r).arguments...)
	list = append(list,
		"--minimum-tls="+string(minimumTLS(cloud)),
		"--documents-namespace="+r.Namespace,
		"--service-account-dir="+pathServiceAccount,
		"--replica=$(POD_NAME)",
		"--control-socket="+pathControl,
	)
	return slices.Concat(list, deliveryOf(r).arguments, bounds(r))
}

// bounds are the arguments of spec.push and spec.limits. What is not declared is left to
// the sync server.
func bounds(r *v1alpha1.MailboxRegion) []string {
	var list []string
	for _, flag := range []struct {
		name  string
		value int64
	}{
		{"push-key-generation", r.Spec.Push.KeyGeneration},
		{"request-slots", int64(r.Spec.Limits.RequestSlots)},
		{"connections-per-address", int64(r.Spec.Limits.ConnectionsPerAddress)},
	} {
		if flag.value > 0 {
			list = append(list, fmt.Sprintf("--%s=%d", flag.name, flag.value))
		}
	}
	return append(list, drain(r)...)
}

// drain divides the time that a pod has to end: first load balancers notice, then requests
// finish, and the rest is for the store to close. What is not declared is left to the sync
// server.
func drain(r *v1alpha1.MailboxRegion) []string {
	if r.Spec.Template.TerminationGracePeriodSeconds == 0 {
		return nil
	}
	whole := time.Duration(grace(r)) * time.Second
	delay := min(drainDelay, whole/drainDelayShare)
	return []string{"--drain-delay=" + delay.String(), "--drain-timeout=" + (whole - delay - whole/drainRestShare).String()}
}

func minimumTLS(cloud *v1alpha1.SovereignCloud) v1alpha1.TLSVersion {
	if v := cloud.Spec.Compliance.MinimumTLSVersion; v != "" {
		return v
	}
	return v1alpha1.TLSVersion12
}

func environment(cloud *v1alpha1.SovereignCloud, resources corev1.ResourceRequirements) []corev1.EnvVar {
	env := []corev1.EnvVar{
		fieldVariable("POD_IP", "status.podIP"),
		fieldVariable("POD_NAME", "metadata.name"),
	}
	if limit, ok := resources.Limits[corev1.ResourceMemory]; ok {
		env = append(env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: strconv.FormatInt(limit.Value()/100*memoryShare, 10)})
	}
	if cloud.Spec.Compliance.Cryptography == v1alpha1.CryptographyFIPS140 {
		env = append(env, corev1.EnvVar{Name: "GODEBUG", Value: "fips140=on"})
	}
	return env
}

func fieldVariable(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: field},
	}}
}

func containerResources(r *v1alpha1.MailboxRegion) corev1.ResourceRequirements {
	if declared := r.Spec.Template.Resources; declared != nil {
		return *declared.DeepCopy()
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("100m"),
			corev1.ResourceMemory: resource.MustParse("256Mi"),
		},
		Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
	}
}

func buildVolumes(r *v1alpha1.MailboxRegion) []corev1.Volume {
	return slices.Concat([]corev1.Volume{
		{Name: tlsVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName:  namesOf(r).tls(),
			DefaultMode: new(int32(modeTLS)),
			Items: []corev1.KeyToPath{
				{Key: corev1.TLSCertKey, Path: corev1.TLSCertKey},
				{Key: corev1.TLSPrivateKeyKey, Path: corev1.TLSPrivateKeyKey},
			},
		}}},
		{Name: tokenVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			DefaultMode: new(int32(modeToken)),
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: corev1.ServiceAccountTokenKey, ExpirationSeconds: new(int64(tokenSeconds))}},
				{ConfigMap: &corev1.ConfigMapProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
					Items:                []corev1.KeyToPath{{Key: corev1.ServiceAccountRootCAKey, Path: corev1.ServiceAccountRootCAKey}},
				}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
					Path:     corev1.ServiceAccountNamespaceKey,
					FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
				}}}},
			},
		}}},
		{Name: tempVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("1Gi"))}}},
	}, storeOf(r).volumes, deliveryOf(r).volumes)
}

// buildDisruptionBudget lets a drain take one replica at a time, and the only one too:
// a budget that forbids it would hold up the maintenance of the node.
func buildDisruptionBudget(r *v1alpha1.MailboxRegion) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metaOf(r, namesOf(r).sync()),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable:             new(intstr.FromInt32(1)),
			Selector:                   &metav1.LabelSelector{MatchLabels: selectorOf(r)},
			UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
		},
	}
}
