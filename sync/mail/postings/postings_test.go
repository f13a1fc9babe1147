package postings

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//nolint:gosmopolitan // words of these scripts are what is tested
func TestTextIsFoldedForSearches(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Straße":                 "strasse",
		"STRASSE":                "strasse",
		"ﬁn":                     "fin",
		"Ünïcödé":                "unicode",
		"Cafe\u0301":             "cafe",
		"ＦＵＬＬ　Ｗｉｄｔｈ１２":           "full width12",
		"ｶﾞｷﾞ":                   "ガギ",
		"が":                      "が",
		"Διονύσης":               "διονυσησ",
		"Ёлка й":                 "елка й",
		"שָׁלוֹם":                "שלום",
		"مُحَمَّد أحمد":          "محمد احمد",
		"हिन्दी":                 "हिन्दी",
		"ที่":                    "ที่",
		"中文":                     "中文",
		"m² ①":                   "m2 1",
		"≠":                      "≠",
		"ascii only: A-Z, 0 & _": "ascii only: a-z, 0 & _",
	} {
		if got := Fold(text); got != want {
			t.Errorf("%q is folded to %q, want %q", text, got, want)
		}
	}
}

//nolint:gosmopolitan // words of these scripts are what is tested
func TestTextIsCutIntoTokens(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 3)
	for text, want := range map[string][]string{
		"":                        nil,
		" .,;  ":                  nil,
		"two words":               {"two", "words"},
		"<ann@agency.us>":         {"ann", "agency", "us"},
		"plan's a_b 5€":           {"plan", "s", "a", "b", "5"},
		"中":                       {"中"},
		"中文":                      {"中文"},
		"请看附件。好":                  {"请看", "看附", "附件", "好"},
		"v2版本":                    {"v2", "版本"},
		"ที่นี่":                  {"ที", "ี่", "่น", "นี", "ี่"},
		"서울 시":                    {"서울", "시"},
		"🎉 x":                     {"🎉", "x"},
		long:                      {long[:32], long[16:]},
		long + "x":                {long[:32], long[16:], long[32:] + "x"},
		strings.Repeat("a", 32):   {strings.Repeat("a", 32)},
		"x" + string([]byte{200}): {"x\xc8"},
	} {
		var got []string
		Tokens(text, func(token string) { got = append(got, token) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("tokens of %q (-want +got):\n%s", text, diff)
		}
	}
}

// shelf holds texts and the segment that is made of them.
type shelf struct {
	texts []string
	docs  []uint64
	built *Segment
}

func build(texts []string) *shelf {
	s := &shelf{texts: texts}
	var b Builder
	for i, text := range texts {
		s.docs = append(s.docs, uint64(i*3+5))
		b.Add(s.docs[i])
		b.Text('x', text)
		b.Text('y', "other")
	}
	s.built = b.Segment()
	return s
}

func lookUp(s *Segment, field Field, queries ...Query) ([]Found, error) {
	docs, err := DecodeDocs(s.Docs)
	if err != nil {
		return nil, err
	}
	l := NewLookup(len(docs), queries, (&merger{from: s}).chunk)
	for _, chunk := range s.Fields[field] {
		if err := l.Dictionary(chunk); err != nil {
			return nil, err
		}
	}
	return l.Found(), nil
}

// check compares what the index tells of a term with the texts.
func (s *shelf) check(t *testing.T, term string) {
	t.Helper()
	found, err := lookUp(s.built, 'x', Compile(term))
	if err != nil {
		t.Fatalf("look up %q: %v", term, err)
	}
	for i, text := range s.texts {
		is, may := strings.Contains(text, term), found[0].May.Has(i)
		if is && !may || found[0].Exact && is != may {
			t.Errorf("%q occurs in %q: %v, and the index says %v, exact: %v", term, text, is, may, found[0].Exact)
		}
	}
}

//nolint:gosmopolitan // words of these scripts are what is tested
var alphabet = []string{"a", "b", "ab", "ss", " ", " ", ".", "@", "中", "文", "ー", "カ", "ท", "ี่", "é", "й", "1", "🎉", "\u00ad", strings.Repeat("q", 15), "ㅏ"}

func randomText(random *rand.Rand, most int) string {
	var out strings.Builder
	for range random.IntN(most) {
		out.WriteString(alphabet[random.IntN(len(alphabet))])
	}
	return strings.Join(strings.Fields(Fold(out.String())), " ")
}

func TestTheIndexAgreesWithTheTexts(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		var texts []string
		for range random.IntN(80) + 1 {
			texts = append(texts, randomText(random, 40))
		}
		s := build(texts)
		for range 100 {
			term := randomText(random, 6)
			if from := texts[random.IntN(len(texts))]; random.IntN(2) == 0 && from != "" {
				runes := []rune(from)
				at := random.IntN(len(runes))
				term = string(runes[at : at+1+random.IntN(len(runes)-at)])
			}
			if term = strings.TrimSpace(term); term != "" {
				s.check(t, term)
			}
		}
		if t.Failed() {
			return
		}
	}
}

//nolint:gosmopolitan // words of these scripts are what is tested
func TestWordsAreDecidedWithoutTheText(t *testing.T) {
	t.Parallel()
	for term, exact := range map[string]bool{
		"word": true, "中": true, "中文": true, "strasse": true, "5": true,
		"中文字": false, "two words": false, "ann@agency": false, "!": false, "donaudampfschiffahrt": false,
	} {
		if got := Compile(term).exact; got != exact {
			t.Errorf("%q is exact: %v, want %v", term, got, exact)
		}
	}
}

func TestMergedSegmentsAreThoseOfAllTheirTexts(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var texts []string
	var whole, first, second, merged Builder
	for i := range 3000 {
		text := randomText(random, 60) + fmt.Sprint(" number", i)
		var more strings.Builder
		for range 10 {
			fmt.Fprint(&more, " w", random.IntN(300))
		}
		texts = append(texts, text+more.String())
		half := &first
		if i >= 1200 {
			half = &second
		}
		for _, b := range []*Builder{&whole, half} {
			if b == &whole && i%7 == 0 {
				continue
			}
			b.Add(uint64(i))
			b.Text('x', texts[i])
		}
	}
	for _, b := range []*Builder{&first, &second} {
		if err := merged.Merge(b.Segment(), func(doc uint64) bool { return doc%7 != 0 }); err != nil {
			t.Fatalf("merge: %v", err)
		}
	}
	want, got := whole.Segment(), merged.Segment()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff[:min(len(diff), 2000)])
	}
	if len(got.Fields['x']) < 2 || len(got.Postings) < 2 {
		t.Errorf("%d chunks of the dictionary, %d of postings: too few for the test", len(got.Fields['x']), len(got.Postings))
	}
	if found, err := lookUp(got, 'x', Compile("number2346"), Compile("qqqqq"), Compile("nowhere")); err != nil || found[0].May.Len() != 1 || found[2].May.Len() != 0 {
		t.Errorf("found %d and %d, error %v", found[0].May.Len(), found[2].May.Len(), err)
	}
}

// Clone returns a copy.
func (s *Set) Clone() *Set {
	out := NewSet(s.size)
	copy(out.words, s.words)
	return out
}

func TestSetsAreThoseOfTheirDocuments(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 63, 64, 65, 1000} {
		s := NewSet(size)
		for doc := 0; doc < size; doc += 3 {
			s.Add(doc)
		}
		next := 0
		s.Each(func(doc int) {
			if doc != next {
				t.Errorf("of %d: %d comes where %d is next", size, doc, next)
			}
			next = doc + 3
		})
		if next != (size+2)/3*3 {
			t.Errorf("of %d: %d is missing", size, next)
		}
		rest := s.Clone()
		rest.Invert()
		if s.Len() != (size+2)/3 || rest.Len() != size-s.Len() || All(size).Len() != size {
			t.Errorf("of %d: %d in the set, %d not", size, s.Len(), rest.Len())
		}
		both := s.Clone()
		both.Or(rest)
		s.And(rest)
		if both.Len() != size || s.Len() != 0 {
			t.Errorf("of %d: %d in one or the other, %d in both", size, both.Len(), s.Len())
		}
	}
}

func TestDamagedPostingsAreTold(t *testing.T) {
	t.Parallel()
	var texts []string
	for i := range 200 {
		texts = append(texts, fmt.Sprint("word", i%20, " common"))
	}
	s := build(texts).built
	s.Postings[0] = s.Postings[0][:3]
	if _, err := lookUp(s, 'x', Compile("common")); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut postings: %v", err)
	}
	if err := new(Builder).Merge(s, func(uint64) bool { return true }); !errors.Is(err, ErrDamaged) {
		t.Errorf("merge of cut postings: %v", err)
	}
	s.Fields['x'][0] = s.Fields['x'][0][:5]
	if _, err := lookUp(s, 'x', Compile("w")); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut dictionary: %v", err)
	}
	if _, err := DecodeDocs([]byte{5, 0}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a document twice: %v", err)
	}
}

//nolint:gosmopolitan // words of these scripts are what is tested
func FuzzIndexAgreesWithText(f *testing.F) {
	f.Add("The quick brown fox", "wn fo")
	f.Add("请看附件", "看附件")
	f.Add("ที่นี่ ｶﾞ Straße", "STRASSE")
	f.Add(strings.Repeat("0123456789", 9), "789012345678901234")
	f.Fuzz(func(t *testing.T, text, term string) {
		folded := strings.Join(strings.Fields(Fold(strings.ToValidUTF8(text, ""))), " ")
		term = strings.Join(strings.Fields(Fold(strings.ToValidUTF8(term, ""))), " ")
		if term == "" {
			return
		}
		s := build([]string{folded, "x", folded + " " + term})
		s.check(t, term)
		runes := []rune(folded)
		if part := strings.TrimSpace(string(runes[len(runes)/3 : len(runes)*2/3])); part != "" {
			s.check(t, part)
		}
	})
}

//nolint:gosmopolitan // words of these scripts are what is tested
func FuzzSegmentsAreRead(f *testing.F) {
	s := build([]string{"one two", "two three", "two"}).built
	f.Add(s.Docs, s.Fields['x'][0], []byte("postings"))
	f.Add([]byte{1, 1}, []byte{0, 0, 1, 'a', 5, 1}, []byte{})
	f.Fuzz(func(t *testing.T, docs, dictionary, lists []byte) {
		damaged := &Segment{Docs: docs, Fields: map[Field][][]byte{'x': {dictionary}}, Postings: [][]byte{lists}}
		if found, err := lookUp(damaged, 'x', Compile("tw"), Compile("中文字")); err == nil && len(found) != 2 {
			t.Errorf("%d results", len(found))
		} else if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v", err)
		}
		var b Builder
		if err := b.Merge(damaged, func(uint64) bool { return true }); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
			return
		}
		if got, err := DecodeDocs(b.Segment().Docs); err != nil || len(got) != b.Docs() {
			t.Errorf("%d documents of %d: %v", len(got), b.Docs(), err)
		}
		if slices.ContainsFunc(b.Segment().Postings, func(p []byte) bool { return len(p) > chunkSize }) {
			t.Errorf("a chunk is too long")
		}
	})
}
