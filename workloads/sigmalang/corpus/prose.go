package corpus

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// The words of grammar; those that come more often are listed more often.
var (
	determiners  = strings.Fields("the the the the the the a a a a this that his her their its our my some any no each every another")
	prepositions = strings.Fields("of of of of in in in to to for for with with on on at by from into over under about after before between through without upon against during")
	pronouns     = strings.Fields("he he it it she they they we you I I who there this that")
	auxiliaries  = strings.Fields("would could will can may should must did had has might shall")
	conjunctions = strings.Fields("and and and but or so because when while if that as which until though")
	copulas      = strings.Fields("is is was was are were has had seemed became")
)

// prose writes a passage of English.
type prose struct {
	*words
	random *rand.Rand
	// theme is what the passage is about.
	theme *words
	names []string
	text  []byte
}

func newProse(w *words, random *rand.Rand) *prose {
	p := &prose{words: w, random: random}
	p.theme = &words{
		nouns: w.nouns.some(random, 40), verbs: w.verbs.some(random, 20),
		adjectives: w.adjectives.some(random, 12), adverbs: w.adverbs.some(random, 6),
	}
	for range 4 {
		p.names = append(p.names, name(random))
	}
	return p
}

// write returns paragraphs of at least so many bytes.
func (p *prose) write(length int) []byte {
	for len(p.text) < length {
		for range 2 + p.random.IntN(6) {
			p.sentence()
			p.text = append(p.text, ' ')
		}
		p.text = append(p.text[:len(p.text)-1], "\n\n"...)
	}
	return p.text
}

// one reports true with a chance in percent.
func (p *prose) one(percent int) bool { return p.random.IntN(100) < percent }

// sentence writes one, with a capital letter and a full stop.
func (p *prose) sentence() {
	begin := len(p.text)
	if p.one(15) {
		p.add(p.adverb() + ",")
	}
	p.clause()
	for p.one(35) {
		p.text = append(p.text[:len(p.text)-1], ", "...)
		p.add(oneOf(p.random, conjunctions))
		p.clause()
	}
	p.text[len(p.text)-1] = "........?!"[p.random.IntN(10)]
	if c := p.text[begin]; c >= 'a' && c <= 'z' {
		p.text[begin] = c - 'a' + 'A'
	}
}

// add writes a word and a space.
func (p *prose) add(word string) { p.text = append(append(p.text, word...), ' ') }

func (p *prose) clause() {
	if p.one(45) {
		p.add(oneOf(p.random, pronouns))
	} else {
		p.nounPhrase()
	}
	switch p.random.IntN(6) {
	case 0:
		p.add(oneOf(p.random, copulas))
		if p.one(30) {
			p.add("not")
		}
		p.add(p.adjective())
		return
	case 1:
		p.add(oneOf(p.random, auxiliaries))
		p.add(p.verb())
	case 2:
		p.add(plural(p.verb()))
	default:
		p.add(past(p.verb()))
	}
	if p.one(15) {
		p.add(p.adverb())
	}
	if p.one(65) {
		p.nounPhrase()
	}
	for p.one(40) {
		p.add(oneOf(p.random, prepositions))
		p.nounPhrase()
	}
}

func (p *prose) nounPhrase() {
	if p.one(8) {
		p.add(oneOf(p.random, p.names))
		return
	}
	if p.one(4) {
		p.add(strconv.Itoa(2 + p.random.IntN(1+p.random.IntN(2000))))
		p.add(plural(p.noun()))
		return
	}
	words := []string{p.noun()}
	if p.one(20) {
		words[0] = plural(words[0])
	}
	if p.one(30) {
		words = []string{p.adjective(), words[0]}
	}
	if p.one(80) {
		determiner := oneOf(p.random, determiners)
		if determiner == "a" && strings.ContainsRune("aeiou", rune(words[0][0])) {
			determiner = "an"
		}
		p.add(determiner)
	}
	for _, word := range words {
		p.add(word)
	}
}

// about is the share in percent of words that the theme gives.
const about = 40

// topical draws from the theme's words or all of them.
func (p *prose) topical(theme, all urn) string {
	if p.one(about) {
		return theme.draw(p.random)
	}
	return all.draw(p.random)
}

func (p *prose) noun() string      { return p.topical(p.theme.nouns, p.nouns) }
func (p *prose) verb() string      { return p.topical(p.theme.verbs, p.verbs) }
func (p *prose) adjective() string { return p.topical(p.theme.adjectives, p.adjectives) }
func (p *prose) adverb() string    { return p.topical(p.theme.adverbs, p.adverbs) }
