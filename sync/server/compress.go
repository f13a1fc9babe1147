package server

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// compressMinimum is the least octets that are worth compressing: below, an answer
	// fits one packet anyway.
	compressMinimum = 1024
	// compressLarge is from how many octets on an answer is compressed as well as can be:
	// it is a part of a mailbox that is read for the first time, over a network that is
	// slower than the processor. Below, a person waits for a page.
	compressLarge = 64 << 10
	// zstdWindow is how far back zstd refers, which a reader has to keep; RFC 9659 allows
	// eight times as much.
	zstdWindow = 1 << 20
)

// coding is a content coding (RFC 9110 §8.4.1).
type coding string

const (
	identity coding = ""
	gzipped  coding = "gzip"
	zstded   coding = "zstd" // RFC 8878
)

var (
	smallGzip = newGzipPool(gzip.DefaultCompression)
	largeGzip = newGzipPool(gzip.BestCompression)
	smallZstd = newZstd(zstd.SpeedDefault, runtime.GOMAXPROCS(0))
	// largeZstd has 38 MiB of tables for each body that it compresses at a time, from its
	// first use on.
	largeZstd = newZstd(zstd.SpeedBestCompression, max(1, min(4, runtime.GOMAXPROCS(0)/2))) //nolint:mnd // half the processors
)

func newGzipPool(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		// A level that the library names does not fail.
		w, _ := gzip.NewWriterLevel(io.Discard, level)
		return w
	}}
}

func newZstd(level zstd.EncoderLevel, parallel int) *zstd.Encoder {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(parallel), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false))
	if err != nil {
		panic("server: options of zstd: " + err.Error()) // they are all in the line above
	}
	return w
}

// encoded is a body as it is sent.
type encoded struct {
	body   []byte
	coding coding
}

// encode compresses a body when that is worth it and the client can read it.
func encode(body []byte, c coding) encoded {
	if len(body) < compressMinimum || c == identity {
		return encoded{body: body}
	}
	if c == zstded {
		writer := smallZstd
		if len(body) >= compressLarge {
			writer = largeZstd
		}
		return encoded{body: writer.EncodeAll(body, nil), coding: c}
	}
	return encoded{body: compress(body), coding: gzipped}
}

func compress(body []byte) []byte {
	pool := smallGzip
	if len(body) >= compressLarge {
		pool = largeGzip
	}
	out := &bytes.Buffer{}
	zw, ok := pool.Get().(*gzip.Writer)
	if !ok {
		zw = gzip.NewWriter(out)
	}
	defer pool.Put(zw)
	zw.Reset(out)
	// Writing to memory does not fail.
	_, _ = zw.Write(body)
	_ = zw.Close()
	return out.Bytes()
}

// wanted is the coding of the answer to a request.
func wanted(r *http.Request) coding { return accepted(r.Header.Values("Accept-Encoding")) }

// accepted chooses the coding that Accept-Encoding prefers (RFC 9110 §12.5.3), zstd
// when it prefers none. One that takes whatever there is gets gzip.
func accepted(values []string) coding {
	wishes := map[coding]float64{}
	for entry := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(entry), ";")
		c := coding(strings.ToLower(strings.TrimSpace(name)))
		if c == "x-gzip" {
			c = gzipped
		}
		wishes[c] = quality(params)
	}
	gz, named := wishes[gzipped]
	if !named {
		gz = wishes["*"]
	}
	switch zs := wishes[zstded]; {
	case zs > 0 && zs >= gz:
		return zstded
	case gz > 0:
		return gzipped
	default:
		return identity
	}
}

func quality(params string) float64 {
	value, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
	if !ok {
		return 1
	}
	q, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0
	}
	return q
}
