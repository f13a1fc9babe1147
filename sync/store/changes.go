package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
)

// Changes is what happened to the objects of one type between two states.
type Changes struct {
	// Old is the state that was asked about.
	Old string
	// New is the state that the lists lead to.
	New string
	// HasMore says that New is not yet the present state.
	HasMore bool
	// Created, Updated and Destroyed are the ids; each occurs in one list.
	Created, Updated, Destroyed []string
	// OnlyMinor says that every change was an update of derived counts.
	OnlyMinor bool
}

// State returns the state of a type in an account: the sequence number of the last commit that touched it.
func State(ctx context.Context, r Reader, account, kind string) (string, error) {
	p, err := readPosition(ctx, r, stateKey(account, kind))
	if err != nil {
		return "", fmt.Errorf("read state of %s: %w", kind, err)
	}
	return p.String(), nil
}

// ChangesSince reads the changes of a type since a state, at most limit objects when limit is positive. It costs
// in proportion to what changed. ErrTooOld says that the log does not reach back so far, or that the state was
// never issued.
func ChangesSince(ctx context.Context, r Reader, account, kind, since string, limit int) (Changes, error) {
	all, err := ChangesByType(ctx, r, account, []string{kind}, since, limit)
	return all[kind], err
}

// ChangesByType reads the changes of several types since a state, in step: each has the same new state, that of the
// last commit that touched any of them. At most limit ids are told when limit is positive; one that occurs in several
// types counts once. The errors are those of ChangesSince.
func ChangesByType(ctx context.Context, r Reader, account string, kinds []string, since string, limit int) (map[string]Changes, error) {
	from, err := parsePosition(since)
	if err != nil {
		return nil, err
	}
	now, err := lastOf(ctx, r, account, kinds)
	if err != nil {
		return nil, err
	}
	epochOf, err := reachable(ctx, r, account, from)
	if err != nil {
		return nil, err
	}
	m := merger{kinds: kinds, limit: limit, at: from, seen: map[Change]int{}, ids: map[string]bool{}}
	if from.seq < now.seq {
		if err := m.read(ctx, r, account); err != nil {
			return nil, err
		}
	}
	out := map[string]Changes{}
	for _, kind := range kinds {
		c := m.result(kind)
		c.Old, c.New = since, now.String()
		if m.full {
			m.at.epoch = epochOf(m.at.reach())
			c.New, c.HasMore = m.at.String(), true
		}
		out[kind] = c
	}
	return out, nil
}

// LastState returns the state of several types together: the sequence number of the last commit that touched one.
func LastState(ctx context.Context, r Reader, account string, kinds []string) (string, error) {
	last, err := lastOf(ctx, r, account, kinds)
	return last.String(), err
}

func lastOf(ctx context.Context, r Reader, account string, kinds []string) (last position, err error) {
	for _, kind := range kinds {
		p, err := readPosition(ctx, r, stateKey(account, kind))
		if err != nil {
			return position{}, fmt.Errorf("read state of %s: %w", kind, err)
		}
		if p.seq > last.seq {
			last = p
		}
	}
	return last, nil
}

// Later returns the later of two states; a state that was never issued is the earlier one.
func Later(a, b string) string {
	x, errX := parsePosition(a)
	y, errY := parsePosition(b)
	if errX != nil || (errY == nil && (y.seq > x.seq || (y.seq == x.seq && y.part > x.part))) {
		return b
	}
	return a
}

// reachable returns ErrTooOld unless the log holds everything after p, and else what tells the epoch of each commit
// after it.
func reachable(ctx context.Context, r Reader, account string, p position) (epochOf func(seq uint64) uint64, err error) {
	floor, err := readUint(ctx, r, floorKey(account))
	if err != nil {
		return nil, fmt.Errorf("read floor: %w", err)
	}
	last, err := readPosition(ctx, r, seqKey(account))
	if err != nil {
		return nil, fmt.Errorf("read sequence: %w", err)
	}
	tooOld := fmt.Errorf("state %q: %w", p, ErrTooOld)
	if p.seq < floor || p.reach() > last.seq || p.epoch > last.epoch {
		return nil, tooOld
	}
	if p.epoch == last.epoch {
		return func(uint64) uint64 { return last.epoch }, nil
	}
	eras, err := readEras(ctx, r, account)
	if err != nil {
		return nil, err
	}
	if !eras.has(p) {
		return nil, tooOld
	}
	return eras.of, nil
}

// merger folds log entries into one net change per object.
type merger struct {
	kinds []string
	limit int
	at    position
	full  bool
	nets  []net
	// seen finds the net of a type and id, ids are those that were met.
	seen map[Change]int
	ids  map[string]bool
}

// net is the sum of an object's changes.
type net struct {
	kind, id    string
	first, last ChangeKind
	minor       bool
}

func (m *merger) read(ctx context.Context, r Reader, account string) error {
	prefix := logKey(account)
	rng := Range{Start: prefix.Uint(m.at.seq + 1), End: prefix.after()}
	for p, err := range r.Scan(ctx, rng, ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("read change log: %w", err)
		}
		seq, _, err := CutUint(p.Key[len(prefix):])
		if err != nil {
			return fmt.Errorf("read change log: %w", err)
		}
		changes, err := decodeChanges(p.Value)
		if err != nil {
			return fmt.Errorf("read change log: %w", err)
		}
		if m.entry(changes); m.full {
			return nil
		}
		m.at = position{seq: seq}
	}
	return nil
}

// entry folds one commit in, from where the position says, and stops at the limit.
func (m *merger) entry(changes []Change) {
	start := min(m.at.part, len(changes))
	for i, c := range changes[start:] {
		if c.Kind == 0 || !slices.Contains(m.kinds, c.Type) {
			continue
		}
		key := Change{Type: c.Type, ID: c.ID}
		at, known := m.seen[key]
		if m.limit > 0 && len(m.ids) == m.limit && !m.ids[c.ID] {
			m.at.part, m.full = start+i, true
			return
		}
		m.ids[c.ID] = true
		if !known {
			m.seen[key] = len(m.nets)
			m.nets = append(m.nets, net{kind: c.Type, id: c.ID, first: c.Kind, last: c.Kind, minor: c.Minor})
			continue
		}
		m.nets[at].last = c.Kind
		m.nets[at].minor = m.nets[at].minor && c.Minor
	}
}

func (m *merger) result(kind string) Changes {
	out := Changes{Created: []string{}, Updated: []string{}, Destroyed: []string{}, OnlyMinor: true}
	for _, n := range m.nets {
		if n.kind != kind {
			continue
		}
		out.OnlyMinor = out.OnlyMinor && n.minor
		switch {
		case n.first == Created && n.last == Destroyed:
		case n.first == Created:
			out.Created = append(out.Created, n.id)
		case n.last == Destroyed:
			out.Destroyed = append(out.Destroyed, n.id)
		default:
			out.Updated = append(out.Updated, n.id)
		}
	}
	return out
}

// encodeChanges writes the changes of a commit: kind, a flag, type and id, the strings with their length.
func encodeChanges(changes []Change) []byte {
	var out []byte
	for _, c := range changes {
		flag := byte(0)
		if c.Minor {
			flag = 1
		}
		out = append(out, byte(c.Kind), flag)
		for _, s := range []string{c.Type, c.ID} {
			out = binary.AppendUvarint(out, uint64(len(s)))
			out = append(out, s...)
		}
	}
	return out
}

func decodeChanges(value []byte) ([]Change, error) {
	var out []Change
	for len(value) > 0 {
		if len(value) < 2 {
			return nil, fmt.Errorf("log entry: %w: cut short", ErrInvalid)
		}
		c := Change{Kind: ChangeKind(value[0]), Minor: value[1] == 1}
		value = value[2:]
		for _, s := range []*string{&c.Type, &c.ID} {
			n, size := binary.Uvarint(value)
			if size <= 0 || n > uint64(len(value)) || int(n) > len(value)-size { //nolint:gosec // lengths are not negative
				return nil, fmt.Errorf("log entry: %w: cut short", ErrInvalid)
			}
			*s = string(value[size : size+int(n)]) //nolint:gosec // n is at most the length of value
			value = value[size+int(n):]            //nolint:gosec // as above
		}
		out = append(out, c)
	}
	return out, nil
}
