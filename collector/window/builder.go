// Package window gathers resolved samples into pprof profiles, one profile for
// each signal and window of time.
//
// [Builder.Add] takes stacks whose frames are (file, offset in the file) or kernel
// addresses; [Builder.Profile] gives them out with ELF addresses and build IDs, as
// addr2line takes them on any host, still without names: those are the
// symbolizer's work.
package window

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Frame is one frame of a stack: an offset in a file mapped by the process, or,
// without one, an address in the kernel. Callers point into the call instruction,
// not behind it.
type Frame struct {
	Binary  *process.Binary
	Address uint64
	// Function is what only this host can name: code that the program made while it
	// ran. It is nil for everything else.
	Function *jit.Function
}

// Labels are what a sample carries beside its stack; empty ones are left out.
type Labels struct {
	Service, Process, Thread, Container string
	Benchmark, Phase                    string
	State, Unwind                       string
	// Lock is what was waited for, and LockKind what kind of lock that is.
	Lock, LockKind string
	// Slab is the slab cache that memory of the kernel is of, and Kind whether it is an object
	// of one or pages.
	Slab, Kind string
	PID, TID   uint32
	// Owner is the thread that held the lock; 0 if there is none or it is not known.
	Owner uint32
	// Bytes is the size of each block of memory, as Go's heap profiles have it; 0 if that is
	// of no interest.
	Bytes int64
	// Rate is for how many bytes one was sampled; 0 if that is as the profile's period says.
	Rate int64
	// Site is a number under which more is known of the sample; 0 if there is none.
	Site int64
}

// Builder gathers the samples of one signal in one window. It is used by one
// goroutine.
//
// A frame that recurs is kept once and has a number; a stack is its frames' numbers,
// four bytes each, and its labels, which recur as well, are a number too. So memory
// follows Frames, which is what bounds a window.
type Builder struct {
	types  []*profile.ValueType
	period Period

	seeds  [2]maphash.Seed
	stacks map[key]int // places in gathered
	order  []gathered
	lost   map[string][]int64

	numbers map[Frame]uint32
	frames  []Frame // by number
	slab    []uint32
	stored  int
	sets    map[Labels]uint32
	labels  []Labels // by number
	values  []int64
	strings map[string]string // of labels, each to itself
	stack   []uint32          // of the sample being added
	bytes   []byte            // the same, to be hashed
}

// Period is what one sample stands for; the zero value if nothing.
type Period struct {
	Type  *profile.ValueType
	Value int64
}

// key tells stacks and labels apart: by two hashes of a stack, with random seeds, so
// that nobody can make two of them look the same.
type key struct {
	stack  [2]uint64
	labels uint32
}

type gathered struct {
	stack  []uint32 // numbers of frames
	values []int64
	labels uint32
}

// NewBuilder starts a window for samples with values of the given types.
func NewBuilder(period Period, types ...*profile.ValueType) *Builder {
	return &Builder{
		types: types, period: period, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		stacks: map[key]int{}, lost: map[string][]int64{}, numbers: map[Frame]uint32{}, sets: map[Labels]uint32{}, strings: map[string]string{},
	}
}

// Add counts a sample; the stack, leaf first, is copied when it is new.
func (b *Builder) Add(labels Labels, stack []Frame, values ...int64) {
	b.stack = b.stack[:0]
	for _, f := range stack {
		b.stack = append(b.stack, b.number(f))
	}
	k := key{labels: b.set(labels), stack: b.hash()}
	at, ok := b.stacks[k]
	if !ok {
		at = len(b.order)
		b.stacks[k] = at
		b.order = append(b.order, gathered{labels: k.labels, stack: b.store(), values: b.zeros()})
	}
	for i, v := range values {
		b.order[at].values[i] += v
	}
}

// set returns the number of a set of labels.
func (b *Builder) set(labels Labels) uint32 {
	n, ok := b.sets[labels]
	if !ok {
		n = uint32(len(b.labels))
		b.intern(&labels)
		b.sets[labels] = n
		b.labels = append(b.labels, labels)
	}
	return n
}

// zeros is room for the values of a sample. Many share an allocation.
func (b *Builder) zeros() []int64 {
	const slab = 1 << 10
	n := len(b.types)
	if len(b.values) < n {
		b.values = make([]int64, slab*n)
	}
	kept := b.values[:n:n]
	b.values = b.values[n:]
	return kept
}

// number returns the number of a frame.
func (b *Builder) number(f Frame) uint32 {
	n, ok := b.numbers[f]
	if !ok {
		n = uint32(len(b.frames))
		b.numbers[f] = n
		b.frames = append(b.frames, f)
	}
	return n
}

// hash hashes the stack of the sample being added.
func (b *Builder) hash() [2]uint64 {
	b.bytes = b.bytes[:0]
	for _, n := range b.stack {
		b.bytes = binary.LittleEndian.AppendUint32(b.bytes, n)
	}
	return [2]uint64{maphash.Bytes(b.seeds[0], b.bytes), maphash.Bytes(b.seeds[1], b.bytes)}
}

// store copies the stack of the sample being added. Many stacks share an allocation.
func (b *Builder) store() []uint32 {
	const slab = 16 << 10
	n := len(b.stack)
	if len(b.slab) < n {
		b.slab = make([]uint32, max(n, slab))
	}
	kept := b.slab[:n:n]
	b.slab = b.slab[n:]
	copy(kept, b.stack)
	b.stored += n
	return kept
}

// intern replaces the labels' strings by the one copy that is kept of each: every
// sample brings its own of the thread's name.
func (b *Builder) intern(l *Labels) {
	for _, s := range []*string{&l.Service, &l.Process, &l.Thread, &l.Container, &l.Benchmark, &l.Phase, &l.State, &l.Unwind, &l.Lock, &l.LockKind, &l.Slab, &l.Kind} {
		if *s == "" {
			continue
		}
		kept, ok := b.strings[*s]
		if !ok {
			kept = strings.Clone(*s)
			b.strings[kept] = kept
		}
		*s = kept
	}
}

// AddLost counts weight that belongs to the window but to no stack.
func (b *Builder) AddLost(reason string, values ...int64) {
	sum := b.lost[reason]
	if sum == nil {
		sum = make([]int64, len(b.types))
		b.lost[reason] = sum
	}
	for i, v := range values {
		sum[i] += v
	}
}

// Scale multiplies the values of each sample by the factors that its labels have.
func (b *Builder) Scale(factors func(Labels) []float64) {
	rest := make([]float64, len(b.types)) // what rounding left: sums stay right
	for i := range b.order {
		f := factors(b.labels[b.order[i].labels])
		for j, v := range b.order[i].values {
			exact := float64(v)*f[j] + rest[j]
			b.order[i].values[j] = max(int64(math.Floor(exact+0.5)), 0) // a half that is owed is no sample less than none
			rest[j] = exact - float64(b.order[i].values[j])
		}
	}
}

// Len is the number of distinct stacks and labels gathered.
func (b *Builder) Len() int { return len(b.order) }

// Frames is the number of frames that the distinct stacks have together. The
// Builder takes four bytes for each, its profile eight.
func (b *Builder) Frames() int { return b.stored }

// Profile gives out what was gathered. It waits for files that are still being
// opened. Samples with the same labels share their maps: whoever changes one's labels
// gives it maps of its own.
func (b *Builder) Profile(start time.Time, duration time.Duration) *profile.Profile {
	w := newWriter(b.types, b.period, len(b.frames), start, duration)
	w.describe(b.labels)
	locations := make([]*profile.Location, b.stored)
	for i := range b.order {
		n := len(b.order[i].stack)
		w.sample(&b.order[i], b.frames, locations[:n:n])
		locations = locations[n:]
	}
	w.lostSamples(b.lost)
	return w.profile
}
