package region

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Paths of the databases' and the object storage's files in the sync pod. Those of the
// authorities are part of the API: connection strings name them.
const (
	pathDatabases   = "/var/run/bailiwick/postgres"
	pathAuthorities = "/var/run/bailiwick/postgres-ca"
	pathObjects     = "/var/run/bailiwick/s3"

	fileCredentials = "credentials"
)

const (
	databasesVolume   = "postgres"
	authoritiesVolume = "postgres-ca"
	objectsVolume     = "s3"

	// modeSecret lets the group of the pod read, and nobody else.
	modeSecret = 0o440
)

// podPart is what a part of the spec adds to the pods of a region.
type podPart struct {
	arguments []string
	ports     []corev1.ContainerPort
	mounts    []corev1.VolumeMount
	volumes   []corev1.Volume
}

// storeOf gives the store of a region's pods: the volume of the claim, or the DSN files
// of the databases, and the credentials of the object storage.
func storeOf(r *v1alpha1.MailboxRegion) podPart {
	var s podPart
	if r.Spec.Storage.Postgres == nil {
		s.arguments = []string{"--data-dir=" + pathData}
		s.mounts = []corev1.VolumeMount{{Name: dataVolume, MountPath: pathData}}
	} else {
		s.databases(cellsOf(r))
	}
	if blobs := r.Spec.Storage.Blobs; blobs != nil {
		s.objects(&blobs.S3)
	}
	return s
}

// databases mounts one DSN file for each cell, and beside them the authorities that
// the Secrets offer.
func (p *podPart) databases(cells []cell) {
	var files, authorities []corev1.VolumeProjection
	seen := map[v1alpha1.ObjectName]bool{}
	for _, c := range cells {
		files = append(files, projected(c.ref.Name, c.ref.Key, c.name, nil))
		if !seen[c.ref.Name] {
			authorities = append(authorities, projected(c.ref.Name, corev1.ServiceAccountRootCAKey, string(c.ref.Name)+".crt", new(true)))
		}
		seen[c.ref.Name] = true
	}
	p.arguments = append(p.arguments, "--postgres-dsn-dir="+pathDatabases)
	p.add(databasesVolume, pathDatabases, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: new(int32(modeSecret)), Sources: files}})
	p.add(authoritiesVolume, pathAuthorities, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: new(int32(modeSecret)), Sources: authorities}})
}

func (p *podPart) objects(o *v1alpha1.ObjectStorage) {
	p.arguments = append(p.arguments,
		"--s3-endpoint="+endpointURL(o.Endpoint),
		"--s3-bucket="+o.Bucket,
		"--s3-credentials-file="+pathObjects+"/"+fileCredentials,
	)
	p.add(objectsVolume, pathObjects, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName:  string(o.CredentialsSecretRef.Name),
		DefaultMode: new(int32(modeSecret)),
		Items:       []corev1.KeyToPath{{Key: o.CredentialsSecretRef.Key, Path: fileCredentials}},
	}})
}

func (p *podPart) add(name, path string, source corev1.VolumeSource) {
	p.mounts = append(p.mounts, corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: true})
	p.volumes = append(p.volumes, corev1.Volume{Name: name, VolumeSource: source})
}

func projected(secret v1alpha1.ObjectName, key, path string, optional *bool) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: string(secret)},
		Items:                []corev1.KeyToPath{{Key: key, Path: path}},
		Optional:             optional,
	}}
}
