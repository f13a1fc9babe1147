package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// After a backup is restored, the sequence of an account goes on from an earlier point, and numbers that clients know
// from before name other commits now. Epochs tell the two apart: a restore begins a new one, each commit belongs to that
// in which it was made, and states carry it. What came before a restore keeps its epoch, so that the states of clients
// that were not ahead stay what they were.

// position is a state: all commits up to seq, and so many changes of the next one.
type position struct {
	seq  uint64
	part int
	// epoch is that of the last commit that the position reaches into; 0 in a store that was never restored.
	epoch uint64
}

// reach is the last commit of which the position has something.
func (p position) reach() uint64 {
	if p.part > 0 {
		return p.seq + 1
	}
	return p.seq
}

// String writes the position as the state that clients keep.
func (p position) String() string {
	out := strconv.FormatUint(p.seq, 10)
	if p.part != 0 {
		out += "-" + strconv.Itoa(p.part)
	}
	if p.epoch != 0 {
		out = strconv.FormatUint(p.epoch, 36) + "." + out
	}
	return out
}

func parsePosition(state string) (p position, err error) {
	tooOld := fmt.Errorf("state %q: %w", state, ErrTooOld)
	number := state
	if epoch, rest, ok := strings.Cut(state, "."); ok {
		if p.epoch, err = strconv.ParseUint(epoch, 36, 64); err != nil {
			return position{}, tooOld
		}
		number = rest
	}
	seq, part, partial := strings.Cut(number, "-")
	p.seq, err = strconv.ParseUint(seq, 10, 64)
	if err == nil && partial {
		p.part, err = strconv.Atoi(part)
	}
	if err != nil || p.part < 0 || p.String() != state {
		return position{}, tooOld
	}
	return p, nil
}

// FormatState writes the state after a commit, by its sequence number and epoch.
func FormatState(seq, epoch uint64) string { return position{seq: seq, epoch: epoch}.String() }

// AccountState returns the state of an account as a whole: that of its last commit.
func AccountState(ctx context.Context, r Reader, account string) (string, error) {
	p, err := readPosition(ctx, r, seqKey(account))
	if err != nil {
		return "", fmt.Errorf("read sequence: %w", err)
	}
	return p.String(), nil
}

// encode returns how the number of a commit is stored: with its epoch, if there is one.
func (p position) encode() []byte {
	out := Key(nil).Uint(p.seq)
	if p.epoch != 0 {
		out = out.Uint(p.epoch)
	}
	return out
}

// readPosition reads the number of a commit; an absent one is that before the first.
func readPosition(ctx context.Context, r Reader, key []byte) (p position, err error) {
	value, err := r.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return position{}, nil
	}
	if err != nil {
		return position{}, err
	}
	p.seq, value, err = CutUint(value)
	if err == nil && len(value) > 0 {
		p.epoch, _, err = CutUint(value)
	}
	return p, err
}

// era is a stretch of an account's sequence: the commits after the one before the restore that began it.
type era struct{ epoch, after uint64 }

// eras are those of an account, oldest first, without the one that began with the account.
type eras []era

// readEras reads the eras of an account.
func readEras(ctx context.Context, r Reader, account string) (eras, error) {
	value, err := r.Get(ctx, epochsKey(account))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	var out eras
	for err == nil && len(value) > 0 {
		var one era
		if one.epoch, value, err = CutUint(value); err == nil {
			one.after, value, err = CutUint(value)
		}
		out = append(out, one)
	}
	if err != nil {
		return nil, fmt.Errorf("read epochs: %w", err)
	}
	return out, nil
}

// of returns the epoch of a commit.
func (e eras) of(seq uint64) (epoch uint64) {
	for _, one := range e {
		if seq > one.after {
			epoch = one.epoch
		}
	}
	return epoch
}

// has says whether a position was reached by the commits that the account has now, and not by some that were lost.
func (e eras) has(p position) bool {
	for _, one := range e {
		if one.epoch > p.epoch {
			return p.reach() <= one.after
		}
	}
	return false
}

// encode returns how the eras are stored.
func (e eras) encode() []byte {
	var out Key
	for _, one := range e {
		out = out.Uint(one.epoch).Uint(one.after)
	}
	return out
}

// Epoch returns the epoch of an engine, which is that of all commits to it; 0 when it was never restored.
func Epoch(ctx context.Context, r Reader) (uint64, error) {
	p, err := readPosition(ctx, r, epochKey())
	if err != nil {
		return 0, fmt.Errorf("read epoch: %w", err)
	}
	return p.seq, nil
}

// BeginEpoch begins a new epoch of an engine that was restored from a backup, so that states from after the backup are
// known as such. An engine made of several begins one in each of them. Nothing else may use the engine before it returns.
func BeginEpoch(ctx context.Context, e Engine, now time.Time) (uint64, error) {
	engines := []Engine{e}
	if several, ok := e.(interface{ Cells() []Engine }); ok {
		engines = several.Cells()
	}
	epoch := uint64(0)
	for _, one := range engines {
		last, err := Epoch(ctx, one)
		if err != nil {
			return 0, err
		}
		epoch = max(epoch, nextEpoch(last, now))
	}
	for _, one := range engines {
		b := &Batch{}
		b.Set(epochKey(), position{seq: epoch}.encode())
		if err := one.Commit(ctx, b); err != nil {
			return 0, fmt.Errorf("begin epoch: %w", err)
		}
	}
	return epoch, nil
}

// nextEpoch returns the epoch that follows another. It comes from the clock, so that two restores of one backup do not
// begin the same.
func nextEpoch(last uint64, now time.Time) uint64 {
	return max(last+1, uint64(max(now.UnixMilli(), 0)))
}

// Next returns the sequence number that the commit has if the Tx logs a change, and its epoch.
func (tx *Tx) Next() (seq, epoch uint64, err error) {
	last, err := tx.last()
	return last.seq + 1, max(last.epoch, tx.epoch), err
}

// Epoch returns the epoch of the commit if the Tx logs a change.
func (tx *Tx) Epoch() (uint64, error) {
	_, epoch, err := tx.Next()
	return epoch, err
}

// BeginEpoch begins a new epoch of the account, which goes on from an earlier point than it may have been at. The Tx
// logs no changes.
func (tx *Tx) BeginEpoch(now time.Time) error {
	last, err := tx.last()
	if err != nil {
		return err
	}
	epoch := nextEpoch(max(last.epoch, tx.epoch), now)
	if err := tx.enter(last, epoch); err != nil {
		return err
	}
	last.epoch = epoch
	tx.Set(seqKey(tx.account), last.encode())
	return nil
}

// last returns the last commit of the account.
func (tx *Tx) last() (position, error) {
	if tx.before != nil {
		return *tx.before, nil
	}
	last, err := readPosition(tx.ctx, tx.snap, seqKey(tx.account))
	if err != nil {
		return last, fmt.Errorf("read sequence: %w", err)
	}
	tx.before = &last
	return last, nil
}

// enter notes that the account enters another epoch after its last commit.
func (tx *Tx) enter(last position, epoch uint64) error {
	have, err := readEras(tx.ctx, tx.snap, tx.account)
	if err != nil {
		return err
	}
	tx.Set(epochsKey(tx.account), append(have, era{epoch: epoch, after: last.seq}).encode())
	return nil
}

func epochKey() []byte           { return NewKey(systemOwner).String("epoch") }
func epochsKey(id string) []byte { return NewKey(id).String("epochs") }
