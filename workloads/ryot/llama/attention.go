package llama

import "math"

// attention adds one layer's attention block to the residual stream of the n
// new tokens: normalise, project to queries, keys and values, rotate queries and
// keys, append keys and values to the cache, let every head of every token look
// at all positions up to its own, and project back.
func (s *Sequence) attention(layer, n int) {
	c, w, cache := s.model.config, &s.model.weights.Layers[layer], &s.cache[layer]
	dim, kv, width := c.Dim, c.kvDim(), c.headDim()
	rmsNorm(s.normed, s.residual, w.AttentionNorm, n)
	s.model.matmul(s.queries, s.normed, w.Query, n, dim, dim)
	s.model.matmul(s.keys, s.normed, w.Key, n, kv, dim)
	s.model.matmul(s.values, s.normed, w.Value, n, kv, dim)
	half := width / 2
	for t := range n {
		pos := s.length + t
		cosines, sines := s.model.cosines[pos*half:][:half], s.model.sines[pos*half:][:half]
		rotate(s.queries[t*dim:][:dim], cosines, sines)
		rotate(s.keys[t*kv:][:kv], cosines, sines)
		cache.store(pos, s.keys[t*kv:][:kv], s.values[t*kv:][:kv])
	}
	group := c.Heads / c.KVHeads
	scale := float32(1 / math.Sqrt(float64(width)))
	for t := range n {
		scores := s.scores[:s.length+t+1]
		for h := range c.Heads {
			keys, values := cache.head(h/group, len(scores))
			attentionScores(scores, s.queries[t*dim+h*width:][:width], keys, scale)
			softmax(scores)
			attentionValues(s.mixed[t*dim+h*width:][:width], scores, values)
		}
	}
	s.model.matmul(s.normed, s.mixed, w.Output, n, dim, dim)
	for i, v := range s.normed[:n*dim] {
		s.residual[i] += v
	}
}

// attentionScores sets scores[p] to the dot product of the query and the key of
// position p, times scale, four positions at a time.
func attentionScores(scores, query, keys []float32, scale float32) {
	width := len(query)
	p := 0
	for ; p+4 <= len(scores); p += 4 {
		k := keys[p*width:][:4*width]
		k0, k1 := k[:len(query)], k[width:][:len(query)]
		k2, k3 := k[2*width:][:len(query)], k[3*width:][:len(query)]
		var a0, a1, a2, a3 float32
		for i, q := range query {
			a0 += q * k0[i]
			a1 += q * k1[i]
			a2 += q * k2[i]
			a3 += q * k3[i]
		}
		d := scores[p:][:4]
		d[0], d[1], d[2], d[3] = a0*scale, a1*scale, a2*scale, a3*scale
	}
	for ; p < len(scores); p++ {
		var a float32
		k := keys[p*width:][:len(query)]
		for i, q := range query {
			a += q * k[i]
		}
		scores[p] = a * scale
	}
}

// attentionValues sets out to the sum of the values of all positions, each times
// its weight, four positions at a time.
func attentionValues(out, weights, values []float32) {
	width := len(out)
	clear(out)
	p := 0
	for ; p+4 <= len(weights); p += 4 {
		v := values[p*width:][:4*width]
		v0, v1 := v[:len(out)], v[width:][:len(out)]
		v2, v3 := v[2*width:][:len(out)], v[3*width:][:len(out)]
		w := weights[p:][:4]
		a0, a1, a2, a3 := w[0], w[1], w[2], w[3]
		for i, o := range out {
			out[i] = o + (a0*v0[i] + a1*v1[i]) + (a2*v2[i] + a3*v3[i])
		}
	}
	for ; p < len(weights); p++ {
		v, a := values[p*width:][:len(out)], weights[p]
		for i := range out {
			out[i] += a * v[i]
		}
	}
}
