package knowledge

import (
	"iter"
	"strings"
	"unicode"
)

// stopWords carry no subject.
const stopWords = " a about after again all also an and any are as at be because been before but by can could did do does each even every for from had has have he her here his how i if in into is it its just may me more most must my never no nor not now of off on once one only or other our out over own per she should so some such than that the their them then there these they this those to too under until up us use very was we were what when where which while who whom whose why will with would you your "

// Tokenize yields the words of a text that carry meaning, in lower case and without
// common endings, so that "measured" and "measures" are the same term.
func Tokenize(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			word = strings.ToLower(word)
			if len(word) < 2 || strings.Contains(stopWords, " "+word+" ") {
				continue
			}
			if !yield(stem(word)) {
				return
			}
		}
	}
}

// stem takes the ending off that grammar asks for. Two words of one stem may differ
// in meaning; for a search that is better than to miss one.
func stem(word string) string {
	const shortest = 4
	for _, ending := range []string{"ations", "ation", "ings", "ing", "ions", "ion", "ies", "ers", "er", "ed", "es", "ly", "s", "e"} {
		if rest, ok := strings.CutSuffix(word, ending); ok && len(rest) >= shortest {
			return rest
		}
	}
	return word
}

// Sentences splits a text after each full stop, question or exclamation mark that a
// space or the end follows, and at line ends.
func Sentences(text string) []string {
	var sentences []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			sentences = append(sentences, s)
		}
	}
	begin := 0
	for i := range len(text) {
		ends := strings.IndexByte(".?!", text[i]) >= 0 && (i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\n')
		if ends || text[i] == '\n' {
			add(text[begin : i+1])
			begin = i + 1
		}
	}
	add(text[begin:])
	return sentences
}
