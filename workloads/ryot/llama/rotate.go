package llama

// rotate turns each neighbouring pair of a head's values by the angle of its
// position and place (rotary position embedding): x holds whole heads of
// 2*len(cosines) values, cosines and sines are one position's row.
func rotate(x, cosines, sines []float32) {
	sines = sines[:len(cosines)]
	for width := 2 * len(cosines); len(x) >= width; x = x[width:] {
		head := x[:width]
		for i, c := range cosines {
			s := sines[i]
			pair := head[2*i:][:2]
			a, b := pair[0], pair[1]
			pair[0] = a*c - b*s
			pair[1] = a*s + b*c
		}
	}
}
