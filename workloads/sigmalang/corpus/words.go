package corpus

import (
	_ "embed"
	"math"
	"math/rand/v2"
	"strings"
)

// wordList has a line for each class of words, the frequent ones first.
//
//go:embed words.txt
var wordList string

// words are those of the language.
type words struct{ nouns, verbs, adjectives, adverbs urn }

func readWords() *words {
	classes := make(map[string]urn)
	for line := range strings.Lines(wordList) {
		name, list, _ := strings.Cut(line, ":")
		classes[name] = newUrn(strings.Fields(list))
	}
	return &words{classes["nouns"], classes["verbs"], classes["adjectives"], classes["adverbs"]}
}

// urn holds words that are drawn by rank, the first ones most often.
type urn struct {
	words []string
	ranks []uint16 // by quantile
}

// quantiles is how finely an urn tells the frequencies of words apart.
const quantiles = 1 << 14

// newUrn gives the word of rank r a weight of 1/(r + 2.7): Mandelbrot's form of
// Zipf's law with its usual constant.
func newUrn(list []string) urn {
	u := urn{words: list}
	var total, sum float64
	weight := func(rank int) float64 { return 1 / (float64(rank+1) + 2.7) }
	for rank := range list {
		total += weight(rank)
	}
	for rank := range list {
		sum += weight(rank)
		for until := int(math.Round(sum / total * quantiles)); len(u.ranks) < until; {
			u.ranks = append(u.ranks, uint16(rank))
		}
	}
	return u
}

func (u urn) draw(random *rand.Rand) string {
	return u.words[u.ranks[random.IntN(len(u.ranks))]]
}

// some draws a smaller urn out of this one.
func (u urn) some(random *rand.Rand, n int) urn {
	list := make([]string, n)
	for i := range list {
		list[i] = u.draw(random)
	}
	return newUrn(list)
}

// past returns the past tense of a regular verb.
func past(verb string) string {
	last := len(verb) - 1
	switch {
	case verb[last] == 'e':
		return verb + "d"
	case verb[last] == 'y' && !strings.ContainsRune("aeiou", rune(verb[last-1])):
		return verb[:last] + "ied"
	}
	return verb + "ed"
}

// plural returns that of a regular noun, and the third person of a verb.
func plural(word string) string {
	last := len(word) - 1
	switch {
	case strings.HasSuffix(word, "s"), strings.HasSuffix(word, "sh"), strings.HasSuffix(word, "ch"), strings.HasSuffix(word, "x"):
		return word + "es"
	case word[last] == 'y' && !strings.ContainsRune("aeiou", rune(word[last-1])):
		return word[:last] + "ies"
	}
	return word + "s"
}

// title makes the first letter a capital one.
func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

// name makes up a proper name.
func name(random *rand.Rand) string {
	const starts, vowels, ends = "bcdfghjklmnprstvwz", "aeiou", "dklmnrst"
	var b []byte
	for range 1 + random.IntN(3) {
		b = append(b, starts[random.IntN(len(starts))], vowels[random.IntN(len(vowels))])
	}
	return title(string(append(b, ends[random.IntN(len(ends))])))
}

// oneOf draws evenly.
func oneOf(random *rand.Rand, list []string) string { return list[random.IntN(len(list))] }
