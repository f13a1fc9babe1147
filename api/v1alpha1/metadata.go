package v1alpha1

// Annotations, finalizers and field managers that are part of the contract with
// users.
const (
	// AnnotationPaused, set to "true", makes the controllers leave the object as it
	// is, deletion included, until it is removed.
	AnnotationPaused = "bailiwick.dev/paused"
	// AnnotationRequestedAt asks for a reconcile now. Its value is free, a time by
	// custom, and is echoed in status.lastHandledReconcileAt when it was handled.
	AnnotationRequestedAt = "reconcile.bailiwick.dev/requestedAt"
	// Finalizer holds an object until what it made outside of itself is gone or
	// handed over.
	Finalizer = "mail.bailiwick.dev/finalizer"
	// FieldManager is the server-side apply field manager of the operator.
	FieldManager = "bailiwick"
	// AnnotationDatabases marks on the sync pods which state of the Secrets with the
	// connection strings they were started with: another state replaces them.
	AnnotationDatabases = "mail.bailiwick.dev/databases"
	// AnnotationDelivery marks on the sync pods which authorities of mail servers they
	// were started with: others replace them.
	AnnotationDelivery = "mail.bailiwick.dev/delivery"
	// AnnotationJurisdiction tells of a volume claim whose mail it holds, as
	// "cloud/geography/country". A region elsewhere is not given the claim.
	AnnotationJurisdiction = "mail.bailiwick.dev/jurisdiction"
	// LabelCloud names the SovereignCloud of a generated object.
	LabelCloud = "mail.bailiwick.dev/cloud"
	// LabelRegion names the MailboxRegion of a generated object.
	LabelRegion = "mail.bailiwick.dev/region"
)
