package store

import (
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// packLeast is the size in octets below which content is not compressed: there is nothing to win.
	packLeast = 128
	// packWin is the share of a content that compressing has to save: an eighth.
	packWin = 8
	// packedRecord begins the record of a blob whose content is compressed (Zstandard, RFC 8878). What follows is that of
	// any other. A version of format 1, which knows no compressed content, cannot read such a record, so that it never
	// hands the content out as it is.
	packedRecord = 'z'
)

// packer and unpacker compress for speed: content is read and written far more often than it is moved. They are safe for
// concurrent use.
var packer, unpacker = newPacker(), newUnpacker()

func newPacker() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(InlineLimit), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}

// newUnpacker bounds what is decompressed by the capacity that it is given, whatever the content says of itself.
func newUnpacker() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(InlineLimit), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}

// pack compresses content, unless that saves little.
func pack(content []byte) (kept []byte, packed bool) {
	if len(content) < packLeast {
		return content, false
	}
	kept = packer.EncodeAll(content, make([]byte, 0, len(content)/2))
	if len(kept) > len(content)-len(content)/packWin {
		return content, false
	}
	return kept, true
}

// unpack returns the content of a size that was compressed. ErrInvalid says that it is none.
func unpack(kept []byte, size int64) ([]byte, error) {
	if size < 0 || size >= InlineLimit {
		return nil, fmt.Errorf("compressed content: %w: a size of %d octets", ErrInvalid, size)
	}
	content, err := unpacker.DecodeAll(kept, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("compressed content: %w: %w", ErrInvalid, err)
	}
	if int64(len(content)) != size {
		return nil, fmt.Errorf("compressed content: %w: %d octets instead of %d", ErrInvalid, len(content), size)
	}
	return content, nil
}

// encode writes the record of a blob.
func (i *BlobInfo) encode() ([]byte, error) {
	record, err := json.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("encode blob: %w", err)
	}
	if i.Packed {
		record = append([]byte{packedRecord}, record...)
	}
	return record, nil
}

func decodeBlobInfo(record []byte) (info BlobInfo, err error) {
	if info.Packed = len(record) > 0 && record[0] == packedRecord; info.Packed {
		record = record[1:]
	}
	if err := json.Unmarshal(record, &info); err != nil {
		return BlobInfo{}, fmt.Errorf("decode blob: %w", err)
	}
	return info, nil
}
