package mail

import (
	"sync"

	unicode "golang.org/x/text/collate"
	"golang.org/x/text/language"
)

// collator makes keys of the Unicode Collation Algorithm (UTS 10). One is used by one caller at a time.
type collator struct {
	*unicode.Collator

	buffer unicode.Buffer
}

// collators are at rest. They know the order of the root locale, in which case and width do not count.
var collators = sync.Pool{New: func() any {
	return &collator{Collator: unicode.New(language.Und, unicode.IgnoreCase, unicode.IgnoreWidth)}
}}

// rootKey returns what a string is sorted by when the client names no collation (RFC 8620 section 5.5).
func rootKey(s string) string {
	c, ok := collators.Get().(*collator)
	if !ok {
		return foldText(s)
	}
	defer collators.Put(c)
	c.buffer.Reset()
	return string(c.KeyFromString(&c.buffer, s))
}
