package smime

import (
	"errors"
	"fmt"
)

// maxNesting bounds how deep an encoding is nested.
const maxNesting = 24

var (
	errCut     = errors.New("the encoding is cut short")
	errNested  = fmt.Errorf("the encoding is nested more than %d levels deep", maxNesting)
	errTag     = errors.New("the encoding has a tag of more than one octet")
	errLength  = errors.New("the encoding has a length that is not understood")
	errMissing = errors.New("the encoding lacks a value that must be there")
)

// The identifier octets of the types that are read (X.690 section 8.1.2).
const (
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagOID         = 0x06
	tagSequence    = 0x30
	tagSet         = 0x31
	tagContext0    = 0xa0
	tagContext1    = 0xa1

	constructed = 0x20
)

// element is one value of an encoding. BER is read, because mail programs that write a signature in one pass use its
// indefinite lengths.
type element struct {
	// tag is the identifier octet.
	tag byte
	// content is what the value holds, full the value with its identifier and length.
	content, full []byte
	// definite says that the length stood in front.
	definite bool
}

// next reads the first value of an encoding and returns what follows it.
func next(data []byte, depth int) (e element, rest []byte, err error) {
	if depth > maxNesting {
		return element{}, nil, errNested
	}
	if len(data) < 2 {
		return element{}, nil, errCut
	}
	if data[0]&0x1f == 0x1f {
		return element{}, nil, errTag
	}
	if data[1] == 0x80 {
		return indefinite(data, depth)
	}
	header, length, err := readLength(data)
	if err != nil {
		return element{}, nil, err
	}
	end := header + length
	return element{tag: data[0], content: data[header:end], full: data[:end], definite: true}, data[end:], nil
}

// readLength reads a definite length and returns how many octets stand before the content.
func readLength(data []byte) (header, length int, err error) {
	header, length = 2, int(data[1])
	if length >= 0x80 {
		digits := length & 0x7f
		if digits > 4 {
			return 0, 0, errLength
		}
		if len(data) < 2+digits {
			return 0, 0, errCut
		}
		length = 0
		for _, digit := range data[2 : 2+digits] {
			length = length<<8 | int(digit)
		}
		header += digits
	}
	if length > len(data)-header {
		return 0, 0, errCut
	}
	return header, length, nil
}

// indefinite reads a value that ends with two zero octets (X.690 section 8.1.3.6).
func indefinite(data []byte, depth int) (e element, rest []byte, err error) {
	if data[0]&constructed == 0 {
		return element{}, nil, errLength
	}
	rest = data[2:]
	for {
		if len(rest) < 2 {
			return element{}, nil, errCut
		}
		if rest[0] == 0 && rest[1] == 0 {
			end := len(data) - len(rest)
			return element{tag: data[0], content: data[2:end], full: data[:end+2]}, rest[2:], nil
		}
		if _, rest, err = next(rest, depth+1); err != nil {
			return element{}, nil, err
		}
	}
}

// expect reads the first value of an encoding, which must be of a type.
func expect(data []byte, tag byte) (e element, rest []byte, err error) {
	e, rest, err = next(data, 0)
	if err == nil && e.tag != tag {
		err = fmt.Errorf("the encoding has a value of type 0x%02x where 0x%02x belongs", e.tag, tag)
	}
	return e, rest, err
}

// members reads the values that a value holds, so many at most.
func members(content []byte, limit int) ([]element, error) {
	var out []element
	for len(content) > 0 {
		if len(out) == limit {
			return nil, fmt.Errorf("the encoding has a list of more than %d values", limit)
		}
		e, rest, err := next(content, 0)
		if err != nil {
			return nil, err
		}
		out, content = append(out, e), rest
	}
	return out, nil
}

// octets returns the content of an octet string, which may come in pieces.
func (e element) octets(depth int) ([]byte, error) {
	if e.tag&constructed == 0 {
		return e.content, nil
	}
	if depth > maxNesting {
		return nil, errNested
	}
	var out []byte
	for rest := e.content; len(rest) > 0; {
		piece, after, err := next(rest, depth)
		if err != nil {
			return nil, err
		}
		if piece.tag&^byte(constructed) != tagOctetString {
			return nil, fmt.Errorf("an octet string has a piece of type 0x%02x", piece.tag)
		}
		content, err := piece.octets(depth + 1)
		if err != nil {
			return nil, err
		}
		out, rest = append(out, content...), after
	}
	return out, nil
}
