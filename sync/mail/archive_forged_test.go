package mail

import (
	"bytes"
	"errors"
	"iter"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// forged is an archive of the account a1 made of records.
func forged(t *testing.T, version int, records, known []archive.Record) []byte {
	t.Helper()
	each := func(list []archive.Record) iter.Seq2[archive.Record, error] {
		return func(yield func(archive.Record, error) bool) {
			for _, r := range list {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	members := func(yield func(archive.Member, error) bool) {
		for _, part := range []iter.Seq2[archive.Member, error]{archive.Pack(archive.Records, each(records)), archive.Pack(archive.Account, each(known))} {
			for m, err := range part {
				if !yield(m, err) {
					return
				}
			}
		}
	}
	m := &archive.Manifest{Version: archive.Version, RecordVersion: version, Origin: virginia, Tenant: "agency/agency", Account: "a1"}
	var out bytes.Buffer
	if err := errors.Join(archive.Plan(m, members), archive.Write(t.Context(), &out, m, members)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestArchivesThatNoExportWroteLeaveNothing(t *testing.T) {
	t.Parallel()
	ann := elsewhere(t, newOffice(t)).ann
	meta := archive.Record{Kind: "meta", Value: []byte(`{"tenant":"agency/agency"}`)}
	hash := store.NewKey("h")
	for name, test := range map[string]struct{ records, known []archive.Record }{
		"nothing at all":                        {},
		"a kind that is unknown":                {[]archive.Record{{Kind: "novel"}}, []archive.Record{meta}},
		"a lease":                               {[]archive.Record{{Kind: "lease"}}, []archive.Record{meta}},
		"a mark":                                {[]archive.Record{{Kind: "import"}}, []archive.Record{meta}},
		"what makes it known too early":         {[]archive.Record{meta}, []archive.Record{meta}},
		"a copied record among the last":        {nil, []archive.Record{meta, {Kind: "email", Key: hash}}},
		"the account of another tenant":         {nil, []archive.Record{{Kind: "meta", Value: []byte(`{"tenant":"other/other"}`)}}},
		"a reference to a blob that is missing": {[]archive.Record{{Kind: "blob", Key: hash, Value: store.EncodeCounter(1)}}, []archive.Record{meta}},
		"a reference that is no number":         {[]archive.Record{{Kind: "blob", Key: hash, Value: []byte("x")}}, []archive.Record{meta}},
		"an upload without an end":              {[]archive.Record{{Kind: "upload", Key: hash, Value: []byte("x")}}, []archive.Record{meta}},
		"a message to be sent that is none":     {[]archive.Record{{Kind: "outgoing", Key: hash, Value: []byte("x")}}, []archive.Record{meta}},
		"a visitor without a name":              {nil, []archive.Record{meta, {Kind: "visitor", Key: []byte{1}}}},
		"an offer without a name":               {nil, []archive.Record{meta, {Kind: "offer", Key: []byte{1}}}},
		"a principal that is none":              {nil, []archive.Record{meta, {Kind: "principal", Value: []byte("x")}}},
	} {
		if _, err := ann.take(forged(t, recordVersion, test.records, test.known), Import{}); !errors.Is(err, archive.ErrBroken) {
			t.Errorf("%s: got error %v", name, err)
		}
		equal(t, name, ann.kept(), []string{})
	}
	if _, err := ann.take(forged(t, recordVersion+1, nil, []archive.Record{meta}), Import{}); !errors.Is(err, archive.ErrVersion) {
		t.Errorf("records of a newer version: got error %v", err)
	}
}
