package backup

// Origin is where a store is.
type Origin struct {
	// Cloud is the SovereignCloud, and Region the MailboxRegion as namespace/name.
	Cloud  string `json:"cloud"`
	Region string `json:"region"`
}
