package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestContentIsPackedWhereThatSaves(t *testing.T) {
	t.Parallel()
	octets := make([]byte, 4096)
	state := uint32(1)
	for i := range octets {
		state = state*1664525 + 1013904223
		octets[i] = byte(state >> 24)
	}
	for name, c := range map[string]struct {
		content []byte
		packed  bool
	}{
		"empty":              {nil, false},
		"short":              {bytes.Repeat([]byte("x"), packLeast-1), false},
		"text":               {bytes.Repeat([]byte("The minutes are attached.\r\n"), 40), true},
		"noise":              {octets, false},
		"as long as can be":  {bytes.Repeat([]byte("x"), InlineLimit-1), true},
		"noise beside words": {append(octets[:512:512], bytes.Repeat([]byte("word "), 400)...), true},
	} {
		kept, packed := pack(c.content)
		if packed != c.packed {
			t.Errorf("%s: packed is %t", name, packed)
		}
		if !packed {
			if !bytes.Equal(kept, c.content) {
				t.Errorf("%s: content differs", name)
			}
			continue
		}
		if back, err := unpack(kept, int64(len(c.content))); err != nil || !bytes.Equal(back, c.content) {
			t.Errorf("%s: content differs: %v", name, err)
		}
	}
}

func TestDamagedContentIsAnError(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("The minutes are attached.\r\n", 40))
	kept, _ := pack(text)
	flipped := bytes.Clone(kept)
	flipped[len(flipped)-1] ^= 1
	// A few octets that stand for far more than any small blob holds.
	bomb := packer.EncodeAll(make([]byte, 64<<20), nil)
	for name, c := range map[string]struct {
		kept []byte
		size int64
	}{
		"cut":                    {kept[:len(kept)/2], int64(len(text))},
		"altered":                {flipped, int64(len(text))},
		"empty":                  {nil, int64(len(text))},
		"not compressed":         {text, int64(len(text))},
		"longer than its record": {kept, int64(len(text)) - 1},
		"more in it":             {kept, int64(len(text)) + 1},
		"of no size":             {kept, 0},
		"of a negative size":     {kept, -1},
		"of a large size":        {kept, InlineLimit},
		"far longer":             {bomb, InlineLimit - 1},
	} {
		if _, err := unpack(c.kept, c.size); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func FuzzUnpackedContentHasTheSizeOfItsRecord(f *testing.F) {
	kept, _ := pack([]byte(strings.Repeat("The minutes are attached.\r\n", 40)))
	f.Add(kept, int64(1080))
	f.Add(packer.EncodeAll(make([]byte, 1<<20), nil), int64(1<<20))
	f.Add([]byte("plain"), int64(5))
	f.Fuzz(func(t *testing.T, kept []byte, size int64) {
		content, err := unpack(kept, size)
		if err == nil && (int64(len(content)) != size || cap(content) >= InlineLimit) {
			t.Errorf("content of %d octets in %d, want %d", len(content), cap(content), size)
		}
	})
}

func TestRecordsTellPackedContentApart(t *testing.T) {
	t.Parallel()
	for _, want := range []BlobInfo{{Size: 7}, {Size: 1 << 20, Object: "o"}, {Size: 300, Packed: true}} {
		record, err := want.encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeBlobInfo(record); err != nil || got != want {
			t.Errorf("read %+v back as %+v: %v", want, got, err)
		}
	}
	for _, record := range []string{"", "z", "zz{}", "y{}", "z[]"} {
		if _, err := decodeBlobInfo([]byte(record)); err == nil {
			t.Errorf("record %q is no error", record)
		}
	}
}
