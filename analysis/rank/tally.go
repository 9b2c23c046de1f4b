package rank

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/memory"
)

// Tally adds up the CPU profiles of a recording's windows. The zero value is
// empty and ready to use. Of each distinct stack of functions it keeps a hash and
// a weight, not the functions, of which there may be hundreds.
type Tally struct {
	ids     map[frame]uint32
	frames  []frame
	digests []digest      // by number of the frame
	kinds   []memory.Kind // the same
	names   memory.Lexicon

	groups  map[groupKey]*group
	windows int
	lost    map[string]int64 // nanoseconds by reason
	waiting waiting
	taken   map[memoryKey]*Memory
	scratch []memory.Kind // of the stack in hand
	// all bounds every other sum.
	all    weight
	hashed []byte // what is being hashed
}

// groupKey names the samples that share a denominator. Either part is empty
// where samples have no such label.
type groupKey struct {
	benchmark, service string
}

// weight is a number of samples and the CPU time they stand for.
type weight struct {
	ns, samples int64
}

func (w *weight) add(o weight) {
	w.ns += o.ns
	w.samples += o.samples
}

// grow adds a sample's weight and refuses one that is negative or makes the sum
// overflow, which only a forged profile has.
func (w *weight) grow(o weight) error {
	sum := weight{w.ns + o.ns, w.samples + o.samples}
	if o.ns < 0 || o.samples < 0 || sum.ns < 0 || sum.samples < 0 {
		return fmt.Errorf("a sample has a weight that cannot be: %d samples, %d ns", o.samples, o.ns)
	}
	*w = sum
	return nil
}

// group is what was sampled of one service during one benchmark.
type group struct {
	total     weight
	windows   map[int]weight
	noStack   weight
	truncated weight // stacks that do not reach the root; their innermost frame is right
	lostNS    int64
	places    map[uint32]*place
	// memory is the CPU time of memory, by the function that takes it; collected is that of
	// garbage collectors, of which no stack tells for whom they work.
	memory    map[uint32]*memoryPlace
	collected *memoryPlace
	// inclusive is the time of all stacks that hold a function, each once.
	inclusive map[uint32]int64
	below     map[string]int64 // the same by name, made when it is first asked for
	phases    map[string]weight
}

// place is a function as the innermost frame.
type place struct {
	self     weight
	windows  map[int]weight
	phases   map[string]weight
	lines    map[position]int64
	stacks   map[digest]weight
	ofMemory weight       // the part of self that counts as a place of memory, too
	heavy    []heavyStack // those with most time, the first first
	// callers is by number of the frame; see callerOf.
	callers map[uint32]weight
}

// digest is a hash of a frame or of a stack of them. It does not depend on the order
// in which they were met.
type digest [16]byte

// heavyStack is one of a place's stacks that is shown.
type heavyStack struct {
	digest digest
	weight
	frames []uint32 // from the innermost outwards, maxStackFunctions at most
}

// Add counts one window's profile. Windows are added in the order of their
// time.
func (t *Tally) Add(p *profile.Profile) error {
	samples, nanoseconds, err := cpuTypes(p)
	if err != nil {
		return err
	}
	for _, s := range p.Sample {
		w := weight{ns: s.Value[nanoseconds], samples: s.Value[samples]}
		if err := t.all.grow(w); err != nil {
			return err
		}
		if w != (weight{}) { // a label that only weightless samples carry says nothing
			t.addSample(s, w)
		}
	}
	t.windows++
	return nil
}

func (t *Tally) addSample(s *profile.Sample, w weight) {
	g := t.group(groupKey{label(s, "benchmark"), label(s, "service")})
	if reason, ok := lostReason(s); ok {
		if t.lost == nil {
			t.lost = make(map[string]int64)
		}
		t.lost[reason] += w.ns
		g.lostNS += w.ns
		return
	}
	phase := label(s, "phase")
	g.total.add(w)
	addTo(g.windows, t.windows, w)
	addTo(g.phases, phase, w)
	if label(s, "unwind") != "" {
		g.truncated.add(w)
	}
	stack, innermost := t.stack(s)
	if len(stack) == 0 {
		g.noStack.add(w)
		return
	}
	seen := make(map[uint32]bool, len(stack))
	for _, id := range stack {
		if !seen[id] {
			seen[id] = true
			g.inclusive[id] += w.ns
		}
	}
	pl := g.places[stack[0]]
	if pl == nil {
		pl = newPlace()
		g.places[stack[0]] = pl
	}
	pl.lines[innermost] += w.ns
	t.addToPlace(pl, stack, phase, w)
	t.addMemory(g, pl, stack, phase, w)
}

func newPlace() *place {
	return &place{windows: make(map[int]weight), phases: make(map[string]weight), lines: make(map[position]int64), stacks: make(map[digest]weight), callers: make(map[uint32]weight)}
}

// addToPlace adds a sample to a place.
func (t *Tally) addToPlace(pl *place, stack []uint32, phase string, w weight) {
	pl.self.add(w)
	addTo(pl.windows, t.windows, w)
	addTo(pl.phases, phase, w)
	pl.addStack(t.digest(stack), stack, w)
	if caller, ok := callerOf(stack); ok {
		addTo(pl.callers, caller, w)
	}
}

// addStack adds to the weight of a stack. Only this one can become one of the
// heaviest by that, so what is kept of those never has to be looked up.
func (p *place) addStack(d digest, stack []uint32, w weight) {
	addTo(p.stacks, d, w)
	h := heavyStack{digest: d, weight: p.stacks[d]}
	if at := slices.IndexFunc(p.heavy, func(o heavyStack) bool { return o.digest == d }); at >= 0 {
		h.frames = p.heavy[at].frames
		p.heavy = slices.Delete(p.heavy, at, at+1)
	}
	at, _ := slices.BinarySearchFunc(p.heavy, h, heavier)
	if at == maxStacks {
		return
	}
	if h.frames == nil {
		h.frames = slices.Clone(stack[:min(maxStackFunctions, len(stack))])
	}
	p.heavy = slices.Insert(p.heavy, at, h)
	p.heavy = p.heavy[:min(maxStacks, len(p.heavy))]
}

// heavier orders stacks by their time; among equal ones the order is arbitrary but
// always the same.
func heavier(a, b heavyStack) int {
	return cmp.Or(cmp.Compare(b.ns, a.ns), cmp.Compare(b.samples, a.samples), bytes.Compare(a.digest[:], b.digest[:]))
}

// callerOf returns the first function outwards that is another one than the
// innermost, so that a recursive function is not its own caller.
func callerOf(stack []uint32) (uint32, bool) {
	for _, id := range stack {
		if id != stack[0] {
			return id, true
		}
	}
	return 0, false
}

// digest hashes a stack.
func (t *Tally) digest(stack []uint32) digest {
	t.hashed = t.hashed[:0]
	for _, id := range stack {
		t.hashed = append(t.hashed, t.digests[id][:]...)
	}
	return hash(t.hashed)
}

func hash(data []byte) digest {
	sum := sha256.Sum256(data)
	return digest(sum[:len(digest{})])
}

func addTo[K comparable](m map[K]weight, key K, w weight) {
	sum := m[key]
	sum.add(w)
	m[key] = sum
}

// group returns the group of key, made when it is first asked for.
func (t *Tally) group(key groupKey) *group {
	if t.groups == nil {
		t.groups = make(map[groupKey]*group)
	}
	g := t.groups[key]
	if g == nil {
		g = &group{windows: make(map[int]weight), places: make(map[uint32]*place), memory: make(map[uint32]*memoryPlace), inclusive: make(map[uint32]int64), phases: make(map[string]weight)}
		t.groups[key] = g
	}
	return g
}

// stack returns the numbers of a sample's functions, innermost first, and the
// innermost line.
func (t *Tally) stack(s *profile.Sample) ([]uint32, position) {
	var stack []uint32
	var innermost position
	for f, at := range frames(s) {
		if len(stack) == 0 {
			innermost = at
		}
		stack = append(stack, t.id(f))
	}
	return stack, innermost
}

// id numbers functions. More than 2^32 distinct names do not fit into memory.
func (t *Tally) id(f frame) uint32 {
	if id, ok := t.ids[f]; ok {
		return id
	}
	if t.ids == nil {
		t.ids, t.names = make(map[frame]uint32), memory.NewLexicon()
	}
	id := uint32(len(t.frames))
	t.ids[f] = id
	t.frames = append(t.frames, f)
	t.digests = append(t.digests, hash([]byte(f.function+"\x00"+f.binary)))
	t.kinds = append(t.kinds, t.names.Kind(f.function, strings.HasPrefix(f.binary, "[kernel")))
	return id
}
