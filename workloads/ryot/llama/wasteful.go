package llama

// Wasteful chooses worse ways to compute the same, for a service with a known
// bottleneck.
type Wasteful struct {
	// ColumnwiseMatmul goes through matrices against the order in which they lie in
	// memory.
	ColumnwiseMatmul bool
	// LogitsOfPrompt applies the language-model head to every token of a prompt
	// and throws all but the last result away.
	LogitsOfPrompt bool
}

// Wasting returns a model with the same weights that computes the same in worse ways.
func (m *Model) Wasting(w Wasteful) *Model {
	wasting := *m
	if w.ColumnwiseMatmul {
		wasting.matmul = matmulColumnwise
	}
	wasting.logitsOfPrompt = w.LogitsOfPrompt
	return &wasting
}

// matmulColumnwise is [matmul] with the loops the wrong way round: each step of the
// inner one is a row further into the matrix, and in another cache line. Each sum's
// products are added in the same order, so that the result is the same.
func matmulColumnwise(dst, x, w []float32, n, rows, cols int) {
	for t := range n {
		sums := dst[t*rows:][:rows]
		clear(sums)
		for c, v := range x[t*cols:][:cols] {
			for r := range sums {
				sums[r] += v * w[r*cols+c]
			}
		}
	}
}
