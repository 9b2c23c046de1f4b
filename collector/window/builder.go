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
	PID, TID                            uint32
}

// Builder gathers the samples of one signal in one window. It is used by one
// goroutine.
type Builder struct {
	types  []*profile.ValueType
	period Period

	seed   maphash.Seed
	stacks map[key]*gathered
	order  []*gathered
	lost   map[string][]int64
}

// Period is what one sample stands for; the zero value if nothing.
type Period struct {
	Type  *profile.ValueType
	Value int64
}

type key struct {
	labels Labels
	stack  uint64
	check  uint64 // a second hash, so that a collision of the first cannot mix stacks
}

type gathered struct {
	labels Labels
	stack  []Frame
	values []int64
}

// NewBuilder starts a window for samples with values of the given types.
func NewBuilder(period Period, types ...*profile.ValueType) *Builder {
	return &Builder{
		types: types, period: period, seed: maphash.MakeSeed(),
		stacks: map[key]*gathered{}, lost: map[string][]int64{},
	}
}

// Add counts a sample; the stack, leaf first, is copied when it is new.
func (b *Builder) Add(labels Labels, stack []Frame, values ...int64) {
	k := key{labels: labels}
	k.stack, k.check = b.hash(stack)
	g, ok := b.stacks[k]
	if !ok {
		g = &gathered{labels: labels, stack: append([]Frame(nil), stack...), values: make([]int64, len(b.types))}
		b.stacks[k] = g
		b.order = append(b.order, g)
	}
	for i, v := range values {
		g.values[i] += v
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

// Len is the number of distinct stacks and labels gathered.
func (b *Builder) Len() int { return len(b.order) }

func (b *Builder) hash(stack []Frame) (uint64, uint64) {
	var first, second maphash.Hash
	first.SetSeed(b.seed)
	second.SetSeed(b.seed)
	second.WriteByte(1)
	var buffer [8]byte
	for _, f := range stack {
		maphash.WriteComparable(&first, f)
		binary.NativeEndian.PutUint64(buffer[:], f.Address)
		second.Write(buffer[:])
		maphash.WriteComparable(&second, f.Binary)
		maphash.WriteComparable(&second, f.Function)
	}
	return first.Sum64(), second.Sum64()
}

// Profile gives out what was gathered. It waits for files that are still being
// opened.
func (b *Builder) Profile(start time.Time, duration time.Duration) *profile.Profile {
	w := newWriter(b.types, b.period, start, duration)
	for _, g := range b.order {
		w.sample(g)
	}
	w.lostSamples(b.lost)
	return w.profile
}
