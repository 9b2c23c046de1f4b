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
	// hidden is tree.hidden with those nodes added.
	hidden []int64
}

// place lays out the widest nodes of t, at most limit of them. Siblings are
// packed to the left in the order of their names, so that what a frame spent
// itself, or in frames too narrow to draw, is the free space at its right.
func place(t *tree, limit int) layout {
	keep := widest(t.nodes, limit)
	l := layout{hidden: slices.Clone(t.hidden)}
	var next []int64 // by depth: where the next sibling starts
	above := newDescent(len(t.frames))
	for i, n := range t.nodes {
		repeated := above.enter(n)
		if keep != nil && !keep[i] {
			l.over++
			if !repeated {
				l.hidden[n.frame] += n.total
			}
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

// descent follows a walk in preorder and knows which frames lie above.
type descent struct {
	frames []int32 // from the root's child to the last node
	within []int32 // by frame: how often it is in frames
}

func newDescent(frames int) *descent { return &descent{within: make([]int32, frames)} }

// enter goes on to n and tells whether a node above it is of the same frame.
func (d *descent) enter(n node) (repeated bool) {
	if n.frame < 0 {
		return false
	}
	for len(d.frames) >= int(n.depth) {
		last := len(d.frames) - 1
		d.within[d.frames[last]]--
		d.frames = d.frames[:last]
	}
	d.frames = append(d.frames, n.frame)
	d.within[n.frame]++
	return d.within[n.frame] > 1
}
