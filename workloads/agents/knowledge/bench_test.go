package knowledge

import "testing"

const task = "Our payment gateway loses money when a retry repeats a request under load. The workers wait for one lock while the log writes each line, and the queue grows until memory ends. We measured the latency histogram yesterday and the tail is far beyond the deadline. Please find what to change first, keep the schema of the ledger, and say how to test the rollback. The cache hits less than before since the update of the index, and nobody knows whether the compaction or the network is guilty. Ticket 48213 has the trace of a slow request."

func BenchmarkRankPassages(b *testing.B) {
	index := load(b)
	terms := index.Terms(task, 400)
	b.Logf("%d passages, %d terms in the vocabulary, %d in the query, %d in a passage", index.Size(), len(index.postings), len(terms), len(index.passages[100].terms))
	for name, scan := range map[string]bool{"postings": false, "scan": true} {
		b.Run(name, func(b *testing.B) {
			r := NewRanker(index, Options{Candidates: 256, Scan: scan})
			for b.Loop() {
				if _, err := r.RankPassages(b.Context(), Query{Terms: terms, Domain: "design", Limit: 8}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
