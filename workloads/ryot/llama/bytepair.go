package llama

import (
	"container/heap"
	"unicode/utf8"
)

// symbol is a span of the text being joined, in a list of neighbours. A symbol
// that was joined to its left neighbour has length 0.
type symbol struct {
	start, length  int
	previous, next int // -1 at the ends
}

// pair is two neighbours that together form a piece.
type pair struct {
	score float32
	left  int // symbol index; its order is the order in the text
	right int
	size  int // of both, to notice when one of them has changed since
}

// pairQueue orders pairs by falling score, then from left to right.
type pairQueue []pair

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	if q[i].score != q[j].score {
		return q[i].score > q[j].score
	}
	return q[i].left < q[j].left
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(p any)   { *q = append(*q, p.(pair)) }
func (q *pairQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// join cuts a text into characters and joins neighbours into pieces, best score
// first, in n log n steps for n characters.
func (t *Tokenizer) join(text string) []string {
	var symbols []symbol
	for at := 0; at < len(text); {
		_, size := utf8.DecodeRuneInString(text[at:])
		i := len(symbols)
		symbols = append(symbols, symbol{at, size, i - 1, i + 1})
		at += size
	}
	symbols[len(symbols)-1].next = -1
	var queue pairQueue
	propose := func(left, right int) {
		if left < 0 || right < 0 {
			return
		}
		a, b := symbols[left], symbols[right]
		if id, ok := t.ids[text[a.start:b.start+b.length]]; ok {
			heap.Push(&queue, pair{t.pieces[id].score, left, right, a.length + b.length})
		}
	}
	for i := range symbols[1:] {
		propose(i, i+1)
	}
	for len(queue) > 0 {
		p := heap.Pop(&queue).(pair)
		a, b := &symbols[p.left], &symbols[p.right]
		if a.length == 0 || b.length == 0 || a.length+b.length != p.size {
			continue
		}
		a.length, b.length = p.size, 0
		if a.next = b.next; a.next >= 0 {
			symbols[a.next].previous = p.left
		}
		propose(a.previous, p.left)
		propose(p.left, a.next)
	}
	var spans []string
	for i := 0; i >= 0; i = symbols[i].next {
		spans = append(spans, text[symbols[i].start:][:symbols[i].length])
	}
	return spans
}
