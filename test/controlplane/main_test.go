package controlplane

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// orphanVariable makes the test binary the parent of a plane with its data in the
// named folder, which is to be killed.
const orphanVariable = "BAILIWICK_CONTROLPLANE_ORPHAN"

func TestMain(m *testing.M) {
	if parent := os.Getenv(orphanVariable); parent != "" {
		os.Exit(startAndWaitForDeath(parent))
	}
	goleak.VerifyTestMain(m)
}
