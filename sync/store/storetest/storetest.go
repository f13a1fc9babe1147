// Package storetest is the contract of the store as tests that any engine runs.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Factory makes engines for tests.
type Factory struct {
	// Open returns an empty engine, which Run closes.
	Open func(t *testing.T) store.Engine
	// Reopen makes the engine lose what was not durable, as a crash does, and opens it again. Nil skips the tests
	// of durability.
	Reopen func(t *testing.T, e store.Engine) store.Engine
	// Spread says that the engine spreads accounts over others, which carry the format.
	Spread bool
}

// Run checks that the engines of f keep the contract.
func Run(t *testing.T, f Factory) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, Factory){
		"KeysAreReadAsWritten":          keysAreReadAsWritten,
		"ScansFollowTheOrderOfKeys":     scansFollowTheOrderOfKeys,
		"BatchesApplyWholeOrNotAtAll":   batchesApplyWholeOrNotAtAll,
		"InvalidBatchesAreRefused":      invalidBatchesAreRefused,
		"CountersAddUp":                 countersAddUp,
		"SnapshotsDoNotMove":            snapshotsDoNotMove,
		"OneOfManyConflictingWins":      oneOfManyConflictingWins,
		"ConcurrentAddsAreAllCounted":   concurrentAddsAreAllCounted,
		"ObjectsKeepContent":            objectsKeepContent,
		"HintsWakeListeners":            hintsWakeListeners,
		"ClosedEnginesSaySo":            closedEnginesSaySo,
		"CommitsOutliveACrash":          commitsOutliveACrash,
		"UnknownFormatsAreRefused":      unknownFormatsAreRefused,
		"OlderFormatsAreMigrated":       olderFormatsAreMigrated,
		"ContentIsPublishedWithABatch":  contentIsPublishedWithABatch,
		"BrokenContentIsNoBlob":         brokenContentIsNoBlob,
		"BlobsAreSharedWithinAScope":    blobsAreSharedWithinAScope,
		"UnreferencedBlobsAreCollected": unreferencedBlobsAreCollected,
		"CollectionSparesReferences":    collectionSparesReferences,
		"BlobsRaceWithTheirCollector":   blobsRaceWithTheirCollector,
		"ChangesFollowTheSequence":      changesFollowTheSequence,
		"ChangesComeInPortions":         changesComeInPortions,
		"TypesChangeInStep":             typesChangeInStep,
		"TrimmedLogsSaySo":              trimmedLogsSaySo,
		"StatesOfLostCommitsAreRefused": statesOfLostCommitsAreRefused,
		"PortionsCrossEpochs":           portionsCrossEpochs,
		"NewEpochOfAnAccountIsItsOwn":   newEpochOfAnAccountIsItsOwn,
		"FailedUpdatesLeaveNothing":     failedUpdatesLeaveNothing,
		"PanicsLeaveNothingOpen":        panicsLeaveNothingOpen,
		"LeasesFenceWriters":            leasesFenceWriters,
		"UpdatesReadTheirOwnWrites":     updatesReadTheirOwnWrites,
		"ConcurrentUpdatesAreSerial":    concurrentUpdatesAreSerial,
		"ErasedAccountsLeaveNothing":    erasedAccountsLeaveNothing,
		"LongScansCrossPages":           longScansCrossPages,
		"WrittenAssertionsCannotSkew":   writtenAssertionsCannotSkew,
		"RangesAndWritesKeepTheirOrder": rangesAndWritesKeepTheirOrder,
		"SharedJournalsTakeTurns":       sharedJournalsTakeTurns,
		"SharedUpdatesStartOver":        sharedUpdatesStartOver,
		"SharedWritersLoseNothing":      sharedWritersLoseNothing,
		"SharedErasureIsWhole":          sharedErasureIsWhole,
	} {
		t.Run(name, func(t *testing.T) { check(t, f) })
	}
}

func open(t *testing.T, f Factory) store.Engine {
	t.Helper()
	e := f.Open(t)
	t.Cleanup(func() {
		if err := e.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func commit(t *testing.T, e store.Engine, fill func(*store.Batch)) {
	t.Helper()
	if err := try(t.Context(), e, fill); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func try(ctx context.Context, e store.Engine, fill func(*store.Batch)) error {
	b := &store.Batch{}
	fill(b)
	return e.Commit(ctx, b)
}

func set(pairs ...string) func(*store.Batch) {
	return func(b *store.Batch) {
		for i := 0; i < len(pairs); i += 2 {
			b.Set([]byte(pairs[i]), []byte(pairs[i+1]))
		}
	}
}

// list returns keys and values in turn.
func list(t *testing.T, r store.Reader, rng store.Range, o store.ScanOptions) []string {
	t.Helper()
	out := []string{}
	for p, err := range r.Scan(t.Context(), rng, o) {
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		out = append(out, string(p.Key), string(p.Value))
	}
	return out
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// clock is a time that tests move.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.at }
