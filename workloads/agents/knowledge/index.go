package knowledge

import (
	_ "embed"
	"fmt"
	"math"
	"strings"
)

//go:embed techniques.txt
var techniques string

//go:embed settings.txt
var settings string

// Term is a word of the index by its number.
type Term int32

// Passage is one technique in one setting.
type Passage struct {
	Domain, Technique, Setting string
	// Advice is what the technique advises, sentence by sentence.
	Advice []string
	terms  []Term
}

// posting says how often a passage has a term.
type posting struct {
	passage int32
	count   int32
}

// Index finds passages by their terms. It is not changed once it is made, so any
// number of goroutines may search it.
type Index struct {
	passages   []Passage
	vocabulary map[string]Term
	postings   [][]posting
	// idf is the inverse document frequency of each term, gain the same as a whole
	// number for the alignment.
	idf  []float64
	gain []int32
	// norm is BM25's k1 (1 - b + b length / mean length) of each passage.
	norm []float64
}

// BM25's parameters: k1 bounds what repetition is worth, b how much long passages
// are discounted. Both are the usual ones.
const (
	k1 = 1.2
	b  = 0.75
)

// Load builds the index of every technique in every setting.
func Load() (*Index, error) {
	x := &Index{vocabulary: make(map[string]Term)}
	places := strings.Split(strings.TrimSpace(settings), "\n")
	for line := range strings.SplitSeq(strings.TrimSpace(techniques), "\n") {
		technique := strings.Split(line, "|")
		if len(technique) != 3 {
			return nil, fmt.Errorf("reading the techniques: %q is not DOMAIN|NAME|TEXT", line)
		}
		for _, place := range places {
			name, description, ok := strings.Cut(place, "|")
			if !ok {
				return nil, fmt.Errorf("reading the settings: %q is not NAME|TEXT", place)
			}
			x.add(technique[0], technique[1], name, technique[2], description)
		}
	}
	x.weigh()
	return x, nil
}

// add takes a passage into the index.
func (x *Index) add(domain, technique, setting, advice, description string) {
	p := Passage{Domain: domain, Technique: technique, Setting: setting, Advice: Sentences(advice)}
	number := int32(len(x.passages))
	for word := range Tokenize(strings.Join([]string{technique, advice, setting, description}, "\n")) {
		term, known := x.vocabulary[word]
		if !known {
			term = Term(len(x.postings))
			x.vocabulary[word] = term
			x.postings = append(x.postings, nil)
		}
		p.terms = append(p.terms, term)
		list := x.postings[term]
		if last := len(list) - 1; last >= 0 && list[last].passage == number {
			list[last].count++
		} else {
			x.postings[term] = append(list, posting{number, 1})
		}
	}
	x.passages = append(x.passages, p)
}

// weigh computes what depends on all passages.
func (x *Index) weigh() {
	var words int
	for _, p := range x.passages {
		words += len(p.terms)
	}
	n := float64(len(x.passages))
	for _, p := range x.passages {
		x.norm = append(x.norm, k1*(1-b+b*float64(len(p.terms))*n/float64(words)))
	}
	for _, list := range x.postings {
		with := float64(len(list))
		idf := math.Log(1 + (n-with+0.5)/(with+0.5))
		x.idf = append(x.idf, idf)
		x.gain = append(x.gain, 1+int32(math.Round(idf*4)))
	}
}

// Size returns the number of passages.
func (x *Index) Size() int { return len(x.passages) }

// Passage returns a passage by its number, which a [Hit] has.
func (x *Index) Passage(number int) *Passage { return &x.passages[number] }

// Terms returns the terms of a text that the index knows, in their order and with
// repetitions, at most limit of them.
func (x *Index) Terms(text string, limit int) []Term {
	var terms []Term
	for word := range Tokenize(text) {
		if len(terms) == limit {
			break
		}
		if term, known := x.vocabulary[word]; known {
			terms = append(terms, term)
		}
	}
	return terms
}

// Weight returns a term's inverse document frequency.
func (x *Index) Weight(t Term) float64 { return x.idf[t] }
