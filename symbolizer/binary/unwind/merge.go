package unwind

import (
	"slices"
	"sort"
)

// merge makes one table of two: the first decides where it knows anything.
func merge(first, second []Row, limit int) ([]Row, error) {
	if len(first) == 0 || len(second) == 0 {
		return append(first, second...), nil
	}
	b := builder{rows: make([]Row, 0, len(first)+len(second)), limit: limit}
	a, other := none, none
	for i, k := 0, 0; i < len(first) || k < len(second); {
		pc := uint32(1<<32 - 1)
		if i < len(first) {
			pc = first[i].PC
		}
		if k < len(second) {
			pc = min(pc, second[k].PC)
		}
		for i < len(first) && first[i].PC == pc {
			a, i = first[i].content(), i+1
		}
		for k < len(second) && second[k].PC == pc {
			other, k = second[k].content(), k+1
		}
		if a != none {
			b.add(uint64(pc), a)
		} else {
			b.add(uint64(pc), other)
		}
	}
	return b.rows, b.err
}

func (r Row) content() content { return content{r.CFA, r.FP, r.Kind} }

// at returns the rule at pc.
func at(rows []Row, pc uint32) content {
	i := sort.Search(len(rows), func(i int) bool { return rows[i].PC > pc })
	if i == 0 {
		return none
	}
	return rows[i-1].content()
}

// overlay puts one rule over what rows say from start to end.
func overlay(rows []Row, start, end uint32, c content) []Row {
	after := at(rows, end)
	from := sort.Search(len(rows), func(i int) bool { return rows[i].PC >= start })
	to := sort.Search(len(rows), func(i int) bool { return rows[i].PC > end })
	b := builder{limit: from + 2}
	if from > 0 {
		b.rows = append(b.rows, rows[from-1])
	}
	b.add(uint64(start), c)
	b.add(uint64(end), after)
	if to < len(rows) && len(b.rows) > 0 && rows[to].content() == b.rows[len(b.rows)-1].content() {
		to++
	}
	return slices.Replace(rows, max(from-1, 0), to, b.rows...)
}
