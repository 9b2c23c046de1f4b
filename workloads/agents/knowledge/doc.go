// Package knowledge is a small collection of engineering advice and a search over
// it. Each passage is one technique in one setting; a query is a sequence of terms.
//
// [Load] builds the [Index] from the texts in this package. A [Ranker], one for each
// goroutine that searches, gives the passages that fit a [Query] best: BM25 over an
// inverted index chooses candidates (Robertson and Zaragoza, "The Probabilistic
// Relevance Framework: BM25 and Beyond", 2009), and the local alignment of the
// query's words with a candidate's (Smith and Waterman, 1981) orders them.
package knowledge
