package llama

import "math"

// softmax replaces x by exp(x) over the sum of exp(x), computed from the largest
// value down so that no exponential overflows.
func softmax(x []float32) {
	if len(x) == 0 {
		return
	}
	largest := x[0]
	for _, v := range x[1:] {
		largest = max(largest, v)
	}
	var sum float32
	for i, v := range x {
		e := float32(math.Exp(float64(v - largest)))
		x[i] = e
		sum += e
	}
	scale := 1 / sum
	for i := range x {
		x[i] *= scale
	}
}
