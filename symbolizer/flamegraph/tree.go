package flamegraph

import (
	"cmp"
	"math"
	"slices"
)

// node is a frame with everything that was called through the same callers.
type node struct {
	frame int32 // index of tree.frames, -1 for the root
	depth int32 // the root's is 0
	// total is the value of all samples through this node, self of those that
	// end in it; both are sums of the profile's integers. The totals of its
	// children in the tree and self add up to total, less what was left out.
	total, self int64
	// count is the number of samples behind total.
	count int64
	// lineLow and lineHigh are the first and last source line seen, 0 unknown.
	lineLow, lineHigh int32
}

// tree holds the nodes in preorder: a node's subtree follows it directly, and
// siblings are in the order of their frames' names.
type tree struct {
	frames     []frame
	nodes      []node
	stacks     int // the samples merged
	selfByKind [kinds]int64
	// narrow counts the nodes below the floor, which stayed in their parents; there
	// are more of them if narrowMore is set.
	narrow     int
	narrowMore bool
	// cut counts the samples deeper than maxDepth, whose ends were left out, and
	// beyond is their value.
	cut    int
	beyond int64
	// hidden is, by frame, the value of the nodes left out that lie below no node
	// of the same frame: what a search for that frame cannot see.
	hidden []int64
}

// floorOf is the smallest total that is at least the fraction min of the whole.
func floorOf(total int64, min float64) int64 {
	f := math.Ceil(float64(total) * min)
	if f >= float64(total) {
		return total
	}
	return int64(f)
}

// buildTree merges stacks into a tree without nodes whose total is below floor.
//
// The stacks are sorted first, so that each node's samples are neighbours and
// the tree grows by appending: no map, and a node that turns out to be narrow
// is the end of the slice and is cut off, so that memory follows what is drawn.
func buildTree(s *stacks, frames []frame, floor int64) tree {
	slices.SortFunc(s.list, func(a, b stack) int {
		return slices.CompareFunc(s.calls[a.from:a.to], s.calls[b.from:b.to], func(x, y call) int {
			return cmp.Compare(x.frame, y.frame)
		})
	})
	t := tree{frames: frames, nodes: []node{{frame: -1}}, stacks: len(s.list), hidden: make([]int64, len(frames))}
	within := make([]int32, len(frames)) // by frame: how many open nodes are of it
	open := []int32{0}                   // the nodes from the root to the one being filled
	for _, st := range s.list {
		calls := s.calls[st.from:st.to]
		shared := 0
		for shared < len(calls) && shared+1 < len(open) && t.nodes[open[shared+1]].frame == calls[shared].frame {
			shared++
		}
		for len(open) > shared+1 {
			open = t.close(open, within, floor)
		}
		for _, c := range calls[shared:] {
			within[c.frame]++
			open = append(open, int32(len(t.nodes)))
			t.nodes = append(t.nodes, node{frame: c.frame, depth: int32(len(open) - 1)})
		}
		for i, c := range calls {
			t.nodes[open[i+1]].seeLine(c.line)
		}
		leaf := &t.nodes[open[len(open)-1]]
		leaf.total += st.value
		leaf.count += st.count
		if st.cut {
			t.cut++
			t.beyond += st.value
		} else {
			leaf.self += st.value
		}
	}
	for len(open) > 1 {
		open = t.close(open, within, floor)
	}
	return t
}

// close ends the innermost open node: its sums go to its parent, and if it is
// narrower than floor it is cut off the tree.
func (t *tree) close(open, within []int32, floor int64) []int32 {
	last := len(open) - 1
	n, parent := &t.nodes[open[last]], &t.nodes[open[last-1]]
	parent.total += n.total
	parent.count += n.count
	within[n.frame]--
	if n.total < floor {
		if within[n.frame] == 0 {
			t.hidden[n.frame] += n.total
		}
		t.nodes = t.nodes[:open[last]]
		t.narrow++
	}
	return open[:last]
}

// seeLine widens the range of source lines by one.
func (n *node) seeLine(line int32) {
	if line == 0 {
		return
	}
	if n.lineLow == 0 || line < n.lineLow {
		n.lineLow = line
	}
	n.lineHigh = max(n.lineHigh, line)
}
