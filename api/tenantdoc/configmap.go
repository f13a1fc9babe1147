package tenantdoc

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Labels and keys of the ConfigMaps that carry documents and reports.
const (
	// LabelRegion carries the name of the MailboxRegion, in whose namespace the
	// ConfigMap lives.
	LabelRegion = "mail.bailiwick.dev/region"
	// LabelContent tells what a ConfigMap carries: ContentDocument or ContentReport.
	LabelContent = "mail.bailiwick.dev/content"
	// ContentDocument marks a tenant document, under DocumentKey.
	ContentDocument = "tenant-document"
	// ContentReport marks a report of a sync replica, under ReportKey.
	ContentReport = "report"
	// LabelReplica carries the pod name of the replica that writes a report.
	LabelReplica = "mail.bailiwick.dev/replica"
	// AnnotationTenant carries the "namespace/name" of the tenant of a document.
	AnnotationTenant = "mail.bailiwick.dev/tenant"
	// DocumentKey is the data key of a document.
	DocumentKey = "document.json"
	// ReportKey is the data key of a report.
	ReportKey = "report.json"
	// TenantsPerReport is how many tenants one report ConfigMap is sized for.
	TenantsPerReport = 2000
)

// ConfigMapName is the name of the ConfigMap that carries the document of tenant
// ("namespace/name") for the region named region.
func ConfigMapName(region, tenant string) string {
	return region + "-tenant-" + digest(tenant)
}

// ReportName is the name of the report ConfigMap number shard of a replica.
func ReportName(replica string, shard int) string {
	return replica + "-report-" + strconv.Itoa(shard)
}

// ReportShards is how many report ConfigMaps a replica needs for a number of
// tenants; at least one.
func ReportShards(tenants int) int {
	return max(1, (tenants+TenantsPerReport-1)/TenantsPerReport)
}

// ReportShard is the number of the report, below shards, that tells of a tenant.
func ReportShard(tenant string, shards int) int {
	sum := sha256.Sum256([]byte(tenant))
	return (int(sum[0])<<8 | int(sum[1])) % max(1, shards)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}
