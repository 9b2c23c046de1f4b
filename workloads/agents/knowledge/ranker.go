package knowledge

import (
	"cmp"
	"context"
	"slices"
)

// Query asks for passages.
type Query struct {
	// Terms are words in their order.
	Terms []Term
	// Domain is preferred where it is set.
	Domain string
	// Limit is how many passages are wanted.
	Limit int
}

// Hit is a passage that fits a query.
type Hit struct {
	Passage int
	Score   float64
}

// Options are how a Ranker works.
type Options struct {
	// Candidates is how many passages are aligned with a query, the best by BM25.
	Candidates int
	// Scan looks for each term in each passage instead of in the inverted index:
	// a planted fault. The result is the same.
	Scan bool
	// Boxed aligns the best candidates in matrices of objects on the heap, each kept whole for as
	// long as the search goes on: a planted fault. The result is the same.
	Boxed bool
	// Trace, if set, is called with every passage that has a term of a query, and its
	// BM25 score.
	Trace func(passage *Passage, score float64)
	// Begin, if set, is called when a search begins, and what it returns when that ends.
	Begin func() (end func())
}

// Ranker searches an index with memory of its own, so that a search allocates
// little. It serves one goroutine at a time.
type Ranker struct {
	index   *Index
	options Options
	scores  []float64 // by passage; all zero between searches
	found   []int32   // the passages whose score is not zero
	counts  []int32   // by term: how often the query has it
	wanted  []Term    // the query's terms, each once
	row     []int32   // of the alignment
	rows    []*cell   // of the search's matrices, with the fault
}

// NewRanker returns a Ranker of an index.
func NewRanker(index *Index, options Options) *Ranker {
	return &Ranker{
		index: index, options: options,
		scores: make([]float64, len(index.passages)),
		counts: make([]int32, len(index.postings)),
	}
}

const (
	// preference is the factor of passages of the query's domain.
	preference = 1.5
	// alignment is what a unit of the alignment's score is worth beside BM25's.
	alignment = 0.25
	// gap and mismatch are what a term costs that is left out, or differs.
	gap, mismatch = 3, 2
	// patience is how many alignments go by between two looks at the context.
	patience = 64
)

// RankPassages returns the passages that fit a query best, the best first; equal ones
// are in the order of their numbers. The error is the context's.
func (r *Ranker) RankPassages(ctx context.Context, q Query) ([]Hit, error) {
	if r.options.Begin != nil {
		defer r.options.Begin()()
	}
	r.count(q.Terms)
	if r.options.Scan {
		r.scanPassages()
	} else {
		r.scorePostings()
	}
	hits := r.candidates(q.Domain)
	r.rows = nil
	for i := range hits {
		if i%patience == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		align := r.alignTerms
		if r.options.Boxed && i < boxed {
			align = r.alignBoxed
		}
		hits[i].Score += alignment * float64(align(q.Terms, r.index.passages[hits[i].Passage].terms))
	}
	slices.SortFunc(hits, better)
	return hits[:min(q.Limit, len(hits))], nil
}

// better orders hits by score and then by number.
func better(a, b Hit) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Passage, b.Passage))
}

// count fills wanted and counts from a query.
func (r *Ranker) count(terms []Term) {
	for _, t := range r.wanted {
		r.counts[t] = 0
	}
	r.wanted = r.wanted[:0]
	for _, t := range terms {
		if r.counts[t] == 0 {
			r.wanted = append(r.wanted, t)
		}
		r.counts[t]++
	}
}

// scorePostings adds up BM25 by walking the lists of the query's terms.
func (r *Ranker) scorePostings() {
	for _, t := range r.wanted {
		for _, p := range r.index.postings[t] {
			r.credit(p.passage, t, p.count)
		}
	}
}

// scanPassages adds up BM25 by looking through every passage for each term.
func (r *Ranker) scanPassages() {
	for number := range r.index.passages {
		for _, t := range r.wanted {
			var count int32
			for _, have := range r.index.passages[number].terms {
				if have == t {
					count++
				}
			}
			if count > 0 {
				r.credit(int32(number), t, count)
			}
		}
	}
}

// credit adds what one term is worth to a passage that has it count times.
func (r *Ranker) credit(passage int32, t Term, count int32) {
	if r.scores[passage] == 0 {
		r.found = append(r.found, passage)
	}
	frequency := float64(count)
	r.scores[passage] += float64(r.counts[t]) * r.index.idf[t] * frequency * (k1 + 1) / (frequency + r.index.norm[passage])
}

// candidates takes the best passages by BM25 and the query's domain, and clears the
// scores.
func (r *Ranker) candidates(domain string) []Hit {
	hits := make([]Hit, 0, len(r.found))
	for _, number := range r.found {
		p := &r.index.passages[number]
		score := r.scores[number]
		r.scores[number] = 0
		if r.options.Trace != nil {
			r.options.Trace(p, score)
		}
		if p.Domain == domain {
			score *= preference
		}
		hits = append(hits, Hit{int(number), score})
	}
	r.found = r.found[:0]
	slices.SortFunc(hits, better)
	return hits[:min(r.options.Candidates, len(hits))]
}

// alignTerms returns the score of the best local alignment of two sequences of terms:
// a common term gains by its rarity, a differing or left out one costs. Only the last
// row of the matrix is kept.
func (r *Ranker) alignTerms(query, passage []Term) int32 {
	r.row = slices.Grow(r.row[:0], len(passage))[:len(passage)]
	row := r.row
	clear(row)
	var best int32
	for _, want := range query {
		gain := r.index.gain[want]
		var diagonal, left int32
		for j, have := range passage {
			score := diagonal - mismatch
			if have == want {
				score = diagonal + gain
			}
			above := row[j]
			score = max(score, above-gap, left-gap, 0)
			diagonal, left, row[j] = above, score, score
			best = max(best, score)
		}
	}
	return best
}
