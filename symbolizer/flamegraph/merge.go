package flamegraph

import (
	"cmp"
	"errors"
	"iter"
	"slices"

	"github.com/google/pprof/profile"
)

const (
	// maxCalls is how many calls are merged at once, of 8 bytes each and at most 40
	// more for their node.
	maxCalls = 256 << 10
	// maxNarrow bounds how many of the frames too narrow to draw are told apart, to
	// be counted, where not all stacks are merged at once.
	maxNarrow = 100_000
	// sketchSize is the number of sums by which wide nodes are found, 8 bytes each.
	// With stacks d frames deep, a sum holds on average the d/sketchSize part of the
	// whole besides what it is for; narrow is what has a thousandth.
	sketchSize = 2 << 20
)

// mergeAll merges all selected samples into a tree without nodes whose total is
// below the fraction minWidth of the whole.
//
// Where the stacks have more than limit calls together, they are read twice. First
// each node's value is added to one of many sums, which it shares with some others:
// a node whose sum is below the floor is narrow for certain. The second time the
// nodes that are left are counted exactly.
func mergeAll(profiles iter.Seq2[*profile.Profile, error], g *gatherer, minWidth float64, limit int) (tree, error) {
	var all stacks
	var s sketch
	err := g.gather(profiles, func(st stack, calls []call) {
		if s == nil && len(all.calls)+len(calls) > limit {
			s = make(sketch, sketchSize)
			for _, st := range all.list {
				s.add(st.value, all.calls[st.from:st.to])
			}
			all = stacks{}
		}
		if s != nil {
			s.add(st.value, calls)
			return
		}
		all.add(st, calls)
	})
	if err != nil {
		return tree{}, err
	}
	floor := floorOf(g.total, minWidth)
	if s == nil {
		rank := g.in.finish()
		all.renumber(rank)
		t := buildTree(&all, g.in.frames, floor)
		t.selfByKind = g.selfByKind(rank)
		return t, nil
	}
	first := *g
	wide := newCandidates(s, floor, len(g.in.frames))
	if err := g.gather(profiles, wide.count); err != nil {
		return tree{}, err
	}
	if g.total != first.total || g.count != first.count || len(first.in.frames) != len(wide.hidden) {
		return tree{}, errors.New("the profiles changed while they were read")
	}
	rank := g.in.finish()
	t := wide.tree(rank)
	t.frames, t.selfByKind = g.in.frames, g.selfByKind(rank)
	return t, nil
}

// sketch is sums of nodes, by a hash of the way to them.
type sketch []int64

func (s sketch) add(value int64, calls []call) {
	var w way
	for _, c := range calls {
		w = w.to(c.frame)
		s[w%sketchSize] += value
	}
}

// way is a hash of the frames from the root to a node.
type way uint64

// to goes on to a callee (the finalizer of splitmix64).
func (w way) to(frame int32) way {
	x := uint64(w) ^ uint64(frame)<<32 + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return way(x ^ x>>31)
}

// candidates are the nodes that may be wide, as a tree.
type candidates struct {
	sketch sketch
	floor  int64

	nodes    []candidate
	children map[edge]int32

	stacks, cut int
	beyond      int64
	hidden      []int64 // by frame
	narrow      map[way]struct{}
	more        bool
	seen        []int // by frame: the stack it was seen in last, counted from 1
}

// candidate is a node, and which one it was called from.
type candidate struct {
	node
	parent int32
}

type edge struct{ parent, frame int32 }

func newCandidates(s sketch, floor int64, frames int) *candidates {
	return &candidates{
		sketch: s, floor: floor, nodes: []candidate{{node: node{frame: -1}, parent: -1}}, children: map[edge]int32{},
		hidden: make([]int64, frames), seen: make([]int, frames), narrow: map[way]struct{}{},
	}
}

// count adds one stack to the nodes that it goes through, and what lies beyond them
// to what is not drawn.
func (c *candidates) count(st stack, calls []call) {
	c.stacks++
	at, shared := int32(0), 0
	c.nodes[0].pass(st, 0)
	var w way
	for _, call := range calls {
		next := w.to(call.frame)
		if c.sketch[next%sketchSize] < c.floor || int(call.frame) >= len(c.seen) {
			break
		}
		w = next
		at = c.child(at, call.frame)
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
	for _, call := range calls[shared:] {
		if int(call.frame) >= len(c.seen) {
			return // a frame that the first reading did not have: the caller notices
		}
		if c.seen[call.frame] != c.stacks {
			c.seen[call.frame] = c.stacks
			c.hidden[call.frame] += st.value
		}
		w = w.to(call.frame)
		if len(c.narrow) < maxNarrow {
			c.narrow[w] = struct{}{}
		} else if _, known := c.narrow[w]; !known {
			c.more = true
		}
	}
}

// child returns the node of a callee.
func (c *candidates) child(parent, frame int32) int32 {
	e := edge{parent, frame}
	id, ok := c.children[e]
	if !ok {
		id = int32(len(c.nodes))
		c.children[e] = id
		c.nodes = append(c.nodes, candidate{node: node{frame: frame, depth: c.nodes[parent].depth + 1}, parent: parent})
	}
	return id
}

func (n *node) pass(st stack, line int32) {
	n.total += st.value
	n.count += st.count
	n.seeLine(line)
}

// tree returns the nodes whose total is at least the floor, with the frames' new
// numbers. The candidates are spent.
func (c *candidates) tree(rank []int32) tree {
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
		case n.total >= c.floor:
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
