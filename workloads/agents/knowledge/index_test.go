package knowledge

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func load(t testing.TB) *Index {
	t.Helper()
	index, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestEveryTechniqueIsInEverySetting(t *testing.T) {
	index := load(t)
	seen := make(map[[2]string]bool)
	domains := make(map[string]int)
	for i := range index.Size() {
		p := index.Passage(i)
		seen[[2]string{p.Technique, p.Setting}] = true
		domains[p.Domain]++
		if len(p.Advice) < 2 || len(p.terms) < 15 {
			t.Errorf("%s in %s: advice %q, %d terms", p.Technique, p.Setting, p.Advice, len(p.terms))
		}
	}
	if len(seen) != index.Size() || index.Size() < 2000 || len(domains) != 12 {
		t.Errorf("%d passages, %d different, of the domains %v", index.Size(), len(seen), domains)
	}
}

func TestTokenize(t *testing.T) {
	for text, want := range map[string]string{
		"Measured, measures; MEASURING the measure!": "measur measur measur measur",
		"it is by 7 or 42 of a":                      "42",
		"naïve Größen":                               "naïv größen",
		"":                                           "",
		"\xff\x00 lock\xffs":                         "lock",
		"retries of queries":                         "retr quer",
	} {
		if got := strings.Join(slices.Collect(Tokenize(text)), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestSentences(t *testing.T) {
	got := Sentences("One. Two 3.5 three?\nfour  \n\n! Five")
	if want := []string{"One.", "Two 3.5 three?", "four", "!", "Five"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// randomQuery takes terms of the index, rare and frequent ones, some twice.
func randomQuery(index *Index, random *rand.Rand) []Term {
	terms := make([]Term, 1+random.IntN(60))
	for i := range terms {
		terms[i] = Term(random.IntN(len(index.postings)))
	}
	return terms
}

// plainBM25 is the formula of Robertson and Zaragoza, (3.15) with Lucene's idf, from the
// passages alone.
func plainBM25(index *Index, query []Term, passage int) float64 {
	var mean float64
	for _, p := range index.passages {
		mean += float64(len(p.terms)) / float64(len(index.passages))
	}
	have := index.passages[passage].terms
	var score float64
	for _, term := range query {
		with, frequency := 0.0, 0.0
		for _, p := range index.passages {
			if slices.Contains(p.terms, term) {
				with++
			}
		}
		for _, other := range have {
			if other == term {
				frequency++
			}
		}
		n := float64(len(index.passages))
		idf := math.Log(1 + (n-with+0.5)/(with+0.5))
		score += idf * frequency * 2.2 / (frequency + 1.2*(0.25+0.75*float64(len(have))/mean))
	}
	return score
}

func TestScoresAreBM25(t *testing.T) {
	index := load(t)
	random := rand.New(rand.NewPCG(1, 1))
	for range 3 {
		query := randomQuery(index, random)[:1]
		query = append(query, index.passages[7].terms[3:6]...)
		query = append(query, query[0])
		r := NewRanker(index, Options{Candidates: math.MaxInt})
		r.count(query)
		r.scorePostings()
		for _, passage := range []int{7, 100, 2000} {
			if got, want := r.scores[passage], plainBM25(index, query, passage); math.Abs(got-want) > 1e-9 {
				t.Errorf("passage %d: %v, want %v", passage, got, want)
			}
		}
	}
}

// plainAlignment is Smith and Waterman's recursion on the whole matrix.
func plainAlignment(index *Index, a, b []Term) int32 {
	matrix := make([][]int32, len(a)+1)
	matrix[0] = make([]int32, len(b)+1)
	var best int32
	for i := range a {
		matrix[i+1] = make([]int32, len(b)+1)
		for j := range b {
			same := int32(-2)
			if a[i] == b[j] {
				same = index.gain[a[i]]
			}
			matrix[i+1][j+1] = max(0, matrix[i][j]+same, matrix[i][j+1]-3, matrix[i+1][j]-3)
			best = max(best, matrix[i+1][j+1])
		}
	}
	return best
}

// The ranking is that of a plain computation over all passages, whether it is found by
// the inverted index or with the planted faults, and however often a Ranker is used.
func TestRankingIsThatOfAPlainComputation(t *testing.T) {
	index := load(t)
	random := rand.New(rand.NewPCG(2, 2))
	traced := 0
	fast := NewRanker(index, Options{Candidates: 50, Trace: func(*Passage, float64) { traced++ }})
	planted := map[string]*Ranker{"scanning": NewRanker(index, Options{Candidates: 50, Scan: true}), "boxed": NewRanker(index, Options{Candidates: 50, Boxed: true})}
	for range 20 {
		q := Query{Terms: randomQuery(index, random), Domain: index.Passage(random.IntN(index.Size())).Domain, Limit: 10}
		traced = 0
		got, err := fast.RankPassages(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for name, ranker := range planted {
			same, err := ranker.RankPassages(t.Context(), q)
			if err != nil || !slices.Equal(got, same) {
				t.Fatalf("by the index %v, %s %v, %v", got, name, same, err)
			}
		}
		want, scored := plainRanking(index, q, 50)
		if !slices.Equal(got, want) || traced != scored {
			t.Fatalf("%v, want %v; %d traced of %d", got, want, traced, scored)
		}
	}
}

// plainRanking scores every passage and aligns the best.
func plainRanking(index *Index, q Query, candidates int) (best []Hit, scored int) {
	var hits []Hit
	for number, p := range index.passages {
		var score float64
		for i, term := range q.Terms {
			if slices.Contains(q.Terms[:i], term) {
				continue
			}
			times, frequency := 0.0, 0.0
			for _, other := range q.Terms {
				if other == term {
					times++
				}
			}
			for _, other := range p.terms {
				if other == term {
					frequency++
				}
			}
			if frequency > 0 {
				score += times * index.idf[term] * frequency * (k1 + 1) / (frequency + index.norm[number])
			}
		}
		if score == 0 {
			continue
		}
		if p.Domain == q.Domain {
			score *= preference
		}
		hits = append(hits, Hit{number, score})
	}
	scored = len(hits)
	slices.SortFunc(hits, func(a, b Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), a.Passage-b.Passage) })
	hits = hits[:min(candidates, len(hits))]
	for i := range hits {
		hits[i].Score += alignment * float64(plainAlignment(index, q.Terms, index.passages[hits[i].Passage].terms))
	}
	slices.SortFunc(hits, func(a, b Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), a.Passage-b.Passage) })
	return hits[:min(q.Limit, len(hits))], scored
}

// A passage's own advice finds it first.
func TestAdviceFindsItself(t *testing.T) {
	index := load(t)
	r := NewRanker(index, Options{Candidates: 100})
	for i := 0; i < index.Size(); i += 97 {
		p := index.Passage(i)
		terms := index.Terms(p.Technique+" "+strings.Join(p.Advice, " ")+" "+p.Setting, 1000)
		hits, err := r.RankPassages(t.Context(), Query{Terms: terms, Limit: 1})
		if err != nil || len(hits) != 1 || index.Passage(hits[0].Passage).Technique != p.Technique {
			t.Errorf("%s in %s: %v, %v", p.Technique, p.Setting, hits, err)
		}
	}
}

func TestRankingEndsWithItsContext(t *testing.T) {
	index := load(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("nobody waits any more")
	cancel(why)
	r := NewRanker(index, Options{Candidates: 100})
	terms := index.Passage(5).terms
	if hits, err := r.RankPassages(ctx, Query{Terms: terms, Limit: 1}); !errors.Is(err, why) {
		t.Errorf("%v, %v", hits, err)
	}
	// What was broken off leaves nothing behind for the next search.
	first, err := r.RankPassages(t.Context(), Query{Terms: terms, Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := NewRanker(index, Options{Candidates: 100}).RankPassages(t.Context(), Query{Terms: terms, Limit: 3})
	if err != nil || !slices.Equal(first, fresh) {
		t.Errorf("%v, a fresh one %v, %v", first, fresh, err)
	}
	if hits, err := r.RankPassages(t.Context(), Query{Limit: 3}); err != nil || len(hits) != 0 {
		t.Errorf("a query of nothing gave %v, %v", hits, err)
	}
}

func TestTermsAreBounded(t *testing.T) {
	index := load(t)
	if got := index.Terms(strings.Repeat("lock queue unheardofword ", 100), 7); len(got) != 7 {
		t.Errorf("%d terms", len(got))
	}
}

// FuzzTokenize takes any text: tokens are not empty, and neither sentences nor tokens
// hold anything that the text does not.
func FuzzTokenize(f *testing.F) {
	for _, text := range []string{"Locks wait. Queues grow!", "\xff\xfe ab\xffcd", "a.b.c ...", "İıſK ǅ", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for token := range Tokenize(text) {
			if token == "" || strings.ContainsAny(token, " .\n@") {
				t.Fatalf("token %q of %q", token, text)
			}
		}
		length := 0
		for _, sentence := range Sentences(text) {
			length += len(sentence)
			if !strings.Contains(text, sentence) || sentence == "" {
				t.Fatalf("sentence %q of %q", sentence, text)
			}
		}
		if length > len(text) {
			t.Fatalf("%d bytes of sentences in %d", length, len(text))
		}
	})
}
