package llama

import "math"

// normEpsilon keeps a norm's denominator from zero; LLaMA's value.
const normEpsilon = 1e-5

// rmsNorm sets each of the n rows of dst to the row of x divided by its root
// mean square, times gain. Rows are len(gain) wide.
func rmsNorm(dst, x, gain []float32, n int) {
	dim := len(gain)
	for t := range n {
		in, out := x[t*dim:][:dim], dst[t*dim:][:dim]
		var sum float32
		for _, v := range in {
			sum += v * v
		}
		scale := float32(1 / math.Sqrt(float64(sum)/float64(dim)+normEpsilon))
		for i, g := range gain {
			out[i] = in[i] * scale * g
		}
	}
}
