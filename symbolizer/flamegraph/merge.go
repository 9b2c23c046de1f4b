package flamegraph

import (
	"cmp"
	"errors"
	"iter"
	"slices"

	"github.com/google/pprof/profile"
)

const (
	// maxCalls is how many calls are merged at a time, of 8 bytes each.
	maxCalls = 1 << 20
	// maxNarrow bounds how many of the frames too narrow to draw are told apart, to
	// be counted, where not all stacks are merged at once.
	maxNarrow = 100_000
)

// mergeAll merges all selected samples into a tree without nodes whose total is
// below the fraction minWidth of the whole.
//
// Where the stacks are more than limit calls, the tree without its narrow nodes is
// made of the trees of parts: a node that is wide in the whole is wide in at least
// one part, so the nodes that are wide in any part are all that can be wide, and a
// second reading counts exactly those.
func mergeAll(profiles iter.Seq2[*profile.Profile, error], g *gatherer, minWidth float64, limit int) (tree, error) {
	var part stacks
	var wide *candidates
	partTotal := int64(0)
	join := func() {
		t := buildTree(&part, g.in.frames, floorOf(partTotal, minWidth))
		wide.join(&t)
		part.calls, part.list, partTotal = part.calls[:0], part.list[:0], 0
	}
	err := g.gather(profiles, func(st stack, calls []call) {
		if len(part.calls)+len(calls) > limit && len(part.list) > 0 {
			if wide == nil {
				wide = newCandidates()
			}
			join()
		}
		part.add(st, calls)
		partTotal += st.value
	})
	if err != nil {
		return tree{}, err
	}
	if wide == nil {
		rank := g.in.finish()
		part.renumber(rank)
		t := buildTree(&part, g.in.frames, floorOf(g.total, minWidth))
		t.selfByKind = g.selfByKind(rank)
		return t, nil
	}
	join()
	part = stacks{}
	first := *g
	wide.begin(len(g.in.frames))
	if err := g.gather(profiles, wide.count); err != nil {
		return tree{}, err
	}
	if g.total != first.total || g.count != first.count || len(wide.hidden) != len(g.in.frames) {
		return tree{}, errors.New("the profiles changed while they were read")
	}
	rank := g.in.finish()
	t := wide.tree(floorOf(g.total, minWidth), rank)
	t.frames, t.selfByKind = g.in.frames, g.selfByKind(rank)
	return t, nil
}

// candidates are the nodes that may be wide, as a tree.
type candidates struct {
	nodes    []candidate
	children map[edge]int32

	stacks, cut int
	beyond      int64
	hidden      []int64 // by frame
	narrow      map[uint64]struct{}
	more        bool
	seen        []int // by frame: the stack it was seen in last, counted from 1
}

// candidate is a node, and which one it was called from.
type candidate struct {
	node
	parent int32
}

type edge struct{ parent, frame int32 }

func newCandidates() *candidates {
	return &candidates{nodes: []candidate{{node: node{frame: -1}, parent: -1}}, children: map[edge]int32{}}
}

// join adds the nodes of a part's tree.
func (c *candidates) join(t *tree) {
	path := []int32{0}
	for _, n := range t.nodes[1:] {
		path = path[:n.depth]
		e := edge{path[len(path)-1], n.frame}
		id, ok := c.children[e]
		if !ok {
			id = int32(len(c.nodes))
			c.children[e] = id
			c.nodes = append(c.nodes, candidate{node: node{frame: n.frame, depth: n.depth}, parent: e.parent})
		}
		path = append(path, id)
	}
}

// begin prepares for counting.
func (c *candidates) begin(frames int) {
	c.hidden, c.seen = make([]int64, frames), make([]int, frames)
	c.narrow = map[uint64]struct{}{}
}

// count adds one stack to the nodes that it goes through, and what lies beyond them
// to what is not drawn.
func (c *candidates) count(st stack, calls []call) {
	c.stacks++
	at, shared := int32(0), 0
	c.nodes[0].pass(st, 0)
	for _, call := range calls {
		next, ok := c.children[edge{at, call.frame}]
		if !ok {
			break
		}
		at = next
		c.nodes[at].pass(st, call.line)
		c.seen[call.frame] = c.stacks
		shared++
	}
	if st.cut {
		c.cut++
		c.beyond += st.value
	} else if shared == len(calls) {
		c.nodes[at].self += st.value
	}
	path := uint64(at) + 1
	for _, call := range calls[shared:] {
		if c.seen[call.frame] != c.stacks {
			c.seen[call.frame] = c.stacks
			c.hidden[call.frame] += st.value
		}
		path = mix(path ^ uint64(call.frame)<<32)
		if len(c.narrow) < maxNarrow {
			c.narrow[path] = struct{}{}
		} else if _, known := c.narrow[path]; !known {
			c.more = true
		}
	}
}

func (n *node) pass(st stack, line int32) {
	n.total += st.value
	n.count += st.count
	n.seeLine(line)
}

// mix spreads the bits of a path (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// tree returns the nodes whose total is at least floor, with the frames' new
// numbers. The candidates are spent.
func (c *candidates) tree(floor int64, rank []int32) tree {
	t := tree{stacks: c.stacks, cut: c.cut, beyond: c.beyond, narrow: len(c.narrow), narrowMore: c.more, hidden: make([]int64, len(rank))}
	for old, v := range c.hidden {
		t.hidden[rank[old]] = v
	}
	below := make([][]int32, len(c.nodes))
	for i := range c.nodes[1:] {
		n := &c.nodes[i+1]
		n.frame = rank[n.frame]
		below[n.parent] = append(below[n.parent], int32(i+1))
	}
	within := make([]int, len(rank)) // by frame: how many nodes above are of it
	var walk func(id int32)
	walk = func(id int32) {
		n := c.nodes[id].node
		switch {
		case n.total >= floor:
			t.nodes = append(t.nodes, n)
		default:
			t.narrow++
			if within[n.frame] == 0 {
				t.hidden[n.frame] += n.total
			}
		}
		if n.frame >= 0 {
			within[n.frame]++
			defer func() { within[n.frame]-- }()
		}
		slices.SortFunc(below[id], func(a, b int32) int { return cmp.Compare(c.nodes[a].frame, c.nodes[b].frame) })
		for _, child := range below[id] {
			walk(child)
		}
	}
	walk(0)
	return t
}
