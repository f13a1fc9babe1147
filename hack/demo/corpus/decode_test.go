package corpus_test

import (
	"encoding/base64"
	"io"
)

func decodeBase64(r io.Reader) ([]byte, error) {
	return io.ReadAll(base64.NewDecoder(base64.StdEncoding, r))
}
