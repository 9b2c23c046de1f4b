package flamegraph

import (
	"cmp"
	"slices"
)

// box is a drawn node and where it starts, in the profile's unit from the left
// edge of the graph; its row is the node's depth and its width the node's total.
type box struct {
	node
	x int64
}

// layout is the boxes in preorder, the root first.
type layout struct {
	boxes []box
	rows  int
	// over counts the nodes that are wide enough but beyond the limit.
	over int
}

// place lays out the widest nodes of t, at most limit of them. Siblings are
// packed to the left in the order of their names, so that what a frame spent
// itself, or in frames too narrow to draw, is the free space at its right.
func place(t *tree, limit int) layout {
	keep := widest(t.nodes, limit)
	var l layout
	var next []int64 // by depth: where the next sibling starts
	for i, n := range t.nodes {
		if keep != nil && !keep[i] {
			l.over++
			continue
		}
		for len(next) <= int(n.depth)+1 {
			next = append(next, 0)
		}
		x := next[n.depth]
		next[n.depth] += n.total
		next[n.depth+1] = x
		l.boxes = append(l.boxes, box{node: n, x: x})
		l.rows = max(l.rows, int(n.depth)+1)
	}
	return l
}

// widest marks the limit nodes of the largest totals, of equal ones those
// nearer to the root, so that the parents of a marked node are marked; nil
// means all.
func widest(nodes []node, limit int) []bool {
	if len(nodes) <= limit {
		return nil
	}
	order := make([]int32, len(nodes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &nodes[a], &nodes[b]
		return cmp.Or(cmp.Compare(y.total, x.total), cmp.Compare(x.depth, y.depth), cmp.Compare(a, b))
	})
	keep := make([]bool, len(nodes))
	for _, i := range order[:limit] {
		keep[i] = true
	}
	return keep
}
