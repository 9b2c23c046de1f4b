package llama

// layerCache holds one layer's keys and values of all positions so far, by head
// and then by position, so that a head reads its history in one piece.
type layerCache struct {
	context, width int
	keys, values   []float32 // KVHeads x context x width
}

// newLayerCache makes room for a whole context.
func newLayerCache(c Config) layerCache {
	n := c.Context * c.kvDim()
	return layerCache{c.Context, c.headDim(), make([]float32, n), make([]float32, n)}
}

// store puts one position's keys and values, head after head, in their places.
func (l *layerCache) store(pos int, keys, values []float32) {
	for h := 0; h*l.width < len(keys); h++ {
		at := (h*l.context + pos) * l.width
		copy(l.keys[at:][:l.width], keys[h*l.width:])
		copy(l.values[at:][:l.width], values[h*l.width:])
	}
}

// head gives the keys and values of one head's first n positions.
func (l *layerCache) head(h, n int) (keys, values []float32) {
	at := h * l.context * l.width
	return l.keys[at:][:n*l.width], l.values[at:][:n*l.width]
}
