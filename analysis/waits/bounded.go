package waits

import (
	"cmp"
	"slices"
)

// amount is a number of waits and the time they took.
type amount struct{ count, ns float64 }

func (a *amount) add(o amount) {
	a.count += o.count
	a.ns += o.ns
}

// bounded adds amounts up by key. It keeps the largest ones when there are too many, and
// one sum of all others.
type bounded[K comparable] struct {
	room    int
	of      map[K]amount
	dropped amount
	drops   int64 // keys dropped; one that came back is counted again
	total   amount
}

func newBounded[K comparable](room int) *bounded[K] {
	return &bounded[K]{room: room, of: map[K]amount{}}
}

func (b *bounded[K]) add(key K, a amount) {
	b.total.add(a)
	sum := b.of[key]
	sum.add(a)
	b.of[key] = sum
	if len(b.of) > 2*b.room {
		for _, k := range b.largest()[b.room:] {
			b.dropped.add(b.of[k])
			b.drops++
			delete(b.of, k)
		}
	}
}

// largest are the keys by time, the largest first; among equal ones the order is not
// defined.
func (b *bounded[K]) largest() []K {
	return b.ordered(func(_, _ K) int { return 0 })
}

// ordered is largest with an order of its own among equal ones.
func (b *bounded[K]) ordered(compare func(K, K) int) []K {
	type entry struct {
		key K
		amount
	}
	entries := make([]entry, 0, len(b.of))
	for k, a := range b.of {
		entries = append(entries, entry{k, a})
	}
	slices.SortFunc(entries, func(x, y entry) int {
		return cmp.Or(cmp.Compare(y.ns, x.ns), cmp.Compare(y.count, x.count), compare(x.key, y.key))
	})
	keys := make([]K, len(entries))
	for i := range entries {
		keys[i] = entries[i].key
	}
	return keys
}
