package knowledge

// boxed is how many candidates are aligned so, the best by BM25.
const boxed = 48

// cell is a place in the matrix of an alignment, boxed: an object that the garbage collector
// looks at by itself.
type cell struct {
	score int32
	next  *cell // in its row
}

// boxRow makes a row as objects on the heap, all zero.
func boxRow(length int) *cell {
	var first *cell
	for range length {
		first = &cell{next: first}
	}
	return first
}

// alignBoxed is alignTerms with the fault: it keeps the whole matrix, cell by cell.
func (r *Ranker) alignBoxed(query, passage []Term) int32 {
	above := boxRow(len(passage))
	r.rows = append(r.rows, above)
	var best int32
	for _, want := range query {
		row := boxRow(len(passage))
		r.rows = append(r.rows, row)
		gain := r.index.gain[want]
		var diagonal, left int32
		from, to := above, row
		for _, have := range passage {
			score := diagonal - mismatch
			if have == want {
				score = diagonal + gain
			}
			score = max(score, from.score-gap, left-gap, 0)
			diagonal, left, to.score = from.score, score, score
			best = max(best, score)
			from, to = from.next, to.next
		}
		above = row
	}
	return best
}
