package ryot

import (
	_ "embed"
	"math"
	"math/rand/v2"
	"strings"
)

//go:embed words.txt
var wordList string

const (
	// promptTokens is the mean prompt length aimed at, in the service's tokens.
	promptTokens = 64
	// firstWords is the number of words tried before the service has told how
	// many tokens its words are.
	firstWords          = 48
	fewestWords, atMost = 3, 400
)

// prompts makes texts of plain English words, each different from the first word
// on, so that no cache of prefixes answers in place of the service.
type prompts struct {
	seed  uint64
	words []string
	mean  int // words in a prompt, on average
}

func newPrompts(seed uint64) *prompts {
	return &prompts{seed: seed, words: strings.Fields(wordList), mean: firstWords}
}

// text returns the prompt of a request: the same for the same seed, index and
// mean. Lengths vary evenly by a quarter of the mean to both sides.
func (p *prompts) text(index int) string {
	random := rand.New(rand.NewPCG(p.seed, uint64(int64(index))))
	spread := p.mean / 4
	count := max(fewestWords, p.mean-spread+random.IntN(2*spread+1))
	var text strings.Builder
	text.Grow(8 * count)
	for i := range count {
		word := p.words[random.IntN(len(p.words))]
		if i == 0 {
			word = strings.ToUpper(word[:1]) + word[1:]
		} else {
			text.WriteByte(' ')
		}
		text.WriteString(word)
	}
	text.WriteByte('.')
	return text.String()
}

// answerSeed is the seed of a request's answer, so that the service writes the same
// text in every run of the same seed. It fits into 31 bits, which every server's
// JSON reader keeps whole.
func (p *prompts) answerSeed(index int) int64 {
	return int64(rand.New(rand.NewPCG(p.seed, uint64(int64(index)))).Int32())
}

// fit adapts the mean to what a prompt came to in the service's tokens.
func (p *prompts) fit(text string, tokens int) {
	if tokens <= 0 {
		return
	}
	words := float64(len(strings.Fields(text)))
	p.mean = min(max(int(math.Round(words*promptTokens/float64(tokens))), fewestWords), atMost)
}
