package llama

import "math"

// feedForward adds one layer's SwiGLU block to the residual stream of the n new
// tokens: down(silu(gate(x)) * up(x)) with silu(z) = z / (1 + exp(-z)).
func (s *Sequence) feedForward(layer, n int) {
	c, w := s.model.config, &s.model.weights.Layers[layer]
	rmsNorm(s.normed, s.residual, w.FeedForwardNorm, n)
	s.model.matmul(s.gate, s.normed, w.Gate, n, c.HiddenDim, c.Dim)
	s.model.matmul(s.up, s.normed, w.Up, n, c.HiddenDim, c.Dim)
	gate := s.gate[:n*c.HiddenDim]
	up := s.up[:len(gate)]
	for i, z := range gate {
		gate[i] = z / (1 + float32(math.Exp(-float64(z)))) * up[i]
	}
	s.model.matmul(s.normed, s.gate, w.Down, n, c.Dim, c.HiddenDim)
	for i, v := range s.normed[:n*c.Dim] {
		s.residual[i] += v
	}
}
