package llama

// matmulFunc multiplies n row vectors by a matrix's transpose. It is a type of
// its own because a [Model] carries the one it uses: another kernel can take
// the place of [matmul] without a change to what calls it.
type matmulFunc func(dst, x, w []float32, n, rows, cols int)

// matmul sets dst[t*rows+r] to the dot product of w's row r and x's row t, for
// n rows of x and all rows of w: dst (n x rows) = x (n x cols) * transpose(w),
// with w (rows x cols), all row-major.
//
// Scalar code is bound by its loads and by the latency of the additions, so six
// sums are kept going at a time, which is what fits into the registers of amd64
// without spills: three rows by two tokens for a prompt, where a weight stays
// in the nearest cache for all tokens, and six rows for a single token. Both add
// a sum's products in the order of the columns, so a token's result does not
// depend on how many tokens are computed with it.
func matmul(dst, x, w []float32, n, rows, cols int) {
	pairs := n &^ 1
	if pairs > 0 {
		matmulTiles(dst, x, w, pairs, rows, cols)
	}
	if pairs < n {
		matmulVector(dst[pairs*rows:][:rows], x[pairs*cols:][:cols], w)
	}
}

// matmulTiles is [matmul] for an even number of tokens.
func matmulTiles(dst, x, w []float32, n, rows, cols int) {
	r := 0
	for ; r+3 <= rows; r += 3 {
		w0, w1, w2 := w[r*cols:][:cols], w[(r+1)*cols:][:cols], w[(r+2)*cols:][:cols]
		for t := 0; t+2 <= n; t += 2 {
			x0, x1 := x[t*cols:][:len(w0)], x[(t+1)*cols:][:len(w0)]
			v1, v2 := w1[:len(w0)], w2[:len(w0)]
			var a0, b0, c0, a1, b1, c1 float32
			for i, a := range w0 {
				b, c := v1[i], v2[i]
				p := x0[i]
				a0 += a * p
				b0 += b * p
				c0 += c * p
				q := x1[i]
				a1 += a * q
				b1 += b * q
				c1 += c * q
			}
			d0, d1 := dst[t*rows+r:][:3], dst[(t+1)*rows+r:][:3]
			d0[0], d0[1], d0[2] = a0, b0, c0
			d1[0], d1[1], d1[2] = a1, b1, c1
		}
	}
	for ; r < rows; r++ {
		for t := range n {
			dst[t*rows+r] = matmulRow(x[t*cols:][:cols], w[r*cols:][:cols])
		}
	}
}

// matmulVector is [matmul] for one token.
func matmulVector(dst, x, w []float32) {
	cols := len(x)
	r := 0
	for ; r+6 <= len(dst); r += 6 {
		m := w[r*cols:][:6*cols]
		w0, w1, w2 := m[:len(x)], m[cols:][:len(x)], m[2*cols:][:len(x)]
		w3, w4, w5 := m[3*cols:][:len(x)], m[4*cols:][:len(x)], m[5*cols:][:len(x)]
		var a0, a1, a2, a3, a4, a5 float32
		for i, v := range x {
			a0 += v * w0[i]
			a1 += v * w1[i]
			a2 += v * w2[i]
			a3 += v * w3[i]
			a4 += v * w4[i]
			a5 += v * w5[i]
		}
		d := dst[r:][:6]
		d[0], d[1], d[2], d[3], d[4], d[5] = a0, a1, a2, a3, a4, a5
	}
	for ; r < len(dst); r++ {
		dst[r] = matmulRow(x, w[r*cols:][:cols])
	}
}

// matmulRow is the dot product for the rows that are left over.
func matmulRow(x, w []float32) float32 {
	var a float32
	w = w[:len(x)]
	for i, v := range x {
		a += v * w[i]
	}
	return a
}
