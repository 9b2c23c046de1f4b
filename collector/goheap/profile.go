package goheap

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Types are those of Go's heap profile.
func Types() []*profile.ValueType {
	return []*profile.ValueType{
		{Type: "alloc_objects", Unit: "count"}, {Type: "alloc_space", Unit: "bytes"},
		{Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"},
	}
}

// Sample is a record as heap profiles have it.
type Sample struct {
	// Stack begins at the innermost function that is not the runtime's, if there is one, and
	// has one frame for all functions that were inlined into one.
	Stack []window.Frame
	// Values are in the order of Types, scaled to estimate all allocations from those sampled.
	Values [4]int64
	// Size is that of each object.
	Size int64
	// Unwind is why the stack does not reach its root, "" if it does.
	Unwind string
}

// The reasons for stacks that do not reach their root.
const (
	tooDeep     = "too deep"
	outsideCode = "return address outside code"
)

// Samples makes samples of a snapshot of this heap, scaled as runtime/pprof does it.
func (h *Heap) Samples(s Snapshot) ([]Sample, error) {
	samples := make([]Sample, 0, len(s.Records))
	n := namer{heap: h, places: map[uint64]place{}}
	for _, r := range s.Records {
		sample := Sample{Size: r.Size}
		sample.Values[0], sample.Values[1] = Scale(r.AllocObjects, r.AllocBytes, s.Rate)
		sample.Values[2], sample.Values[3] = Scale(r.InUseObjects(), r.InUseBytes(), s.Rate)
		var err error
		if sample.Stack, sample.Unwind, err = n.frames(r.Stack); err != nil {
			return nil, fmt.Errorf("reading the function table of process %d: %w", h.pid, err)
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

// Profile is a snapshot of this heap as a profile, without names of functions.
func (h *Heap) Profile(s Snapshot, start time.Time, duration time.Duration) (*profile.Profile, error) {
	samples, err := h.Samples(s)
	if err != nil {
		return nil, err
	}
	b := window.NewBuilder(Period(s.Rate), Types()...)
	for _, sample := range samples {
		if sample.Values == [4]int64{} {
			continue // it is only pending
		}
		b.Add(window.Labels{PID: h.pid, TID: h.pid, Bytes: sample.Size, Unwind: sample.Unwind}, sample.Stack, sample.Values[:]...)
	}
	return b.Profile(start, duration), nil
}

// Period is that of a profile that was sampled at a rate.
func Period(rate int64) window.Period {
	return window.Period{Type: &profile.ValueType{Type: "space", Unit: "bytes"}, Value: rate}
}

// Scale estimates how many objects and bytes stand behind those that were sampled:
// an allocation of S bytes is one of those with the probability 1-exp(-S/rate). It is
// scaleHeapSample of runtime/pprof, to the last bit.
func Scale(objects, bytes, rate int64) (int64, int64) {
	if objects == 0 || bytes == 0 {
		return 0, 0
	}
	if rate <= 1 {
		return objects, bytes
	}
	size := float64(bytes) / float64(objects)
	scale := 1 / (1 - math.Exp(-size/float64(rate)))
	return int64(float64(objects) * scale), int64(float64(bytes) * scale)
}

// namer turns return addresses into frames.
type namer struct {
	heap   *Heap
	places map[uint64]place // by return address
}

// place is what the runtime knows of a return address.
type place struct {
	name    string // of the innermost function at the call
	entry   uint64 // of the function that has the code; 0 if it is not Go's
	inlined bool
	// runtimes tells that the function at the address itself, not at the call before it, is
	// of the runtime: so does runtime/pprof look at it.
	runtimes bool
	root     bool // what calls the function that a goroutine begins with
}

func (n *namer) place(pc uint64) (place, error) {
	if known, ok := n.places[pc]; ok {
		return known, nil
	}
	var p place
	call := pc - n.heap.bias - 1
	frames, err := n.heap.table.Frames(call)
	if err != nil {
		return place{}, err
	}
	if len(frames) > 0 {
		span, _ := n.heap.table.Function(call)
		name := frames[0].Function
		p = place{name: name, entry: span.Entry, inlined: len(frames) > 1, root: name == "runtime.goexit" || name == "runtime.goexit.abi0"}
	}
	if frames, err = n.heap.table.Frames(call + 1); err != nil {
		return place{}, err
	}
	p.runtimes = len(frames) > 0 && ofRuntime(frames[0].Function)
	n.places[pc] = p
	return p, nil
}

// ofRuntime tells whether heap profiles leave a function out where it is what allocates
// for others (runtime/pprof/protomem.go; the second since Go 1.24, when there was something).
func ofRuntime(name string) bool {
	return strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "internal/runtime/")
}

// frames are a stack's. Each points into the call.
func (n *namer) frames(stack []uint64) (frames []window.Frame, unwind string, err error) {
	places := make([]place, len(stack))
	for i, pc := range stack {
		if places[i], err = n.place(pc); err != nil {
			return nil, "", err
		}
	}
	last := len(stack) - 1
	switch {
	case last < 0:
		unwind = tooDeep // a limit of 0 was asked for (GODEBUG=profstackdepth=0)
	case last >= 31 && !places[last].root: // 32 are the fewest that any version goes without saying
		unwind = tooDeep
	}
	for i := firstShown(places); i < len(stack); {
		if places[i].root {
			i++ // as in Go's profiles, which begin at the function of the go statement
			continue
		}
		m, ok := process.Find(n.heap.mappings, stack[i]-1)
		if !ok {
			return frames, outsideCode, nil
		}
		frames = append(frames, window.Frame{Binary: m.Binary, Address: stack[i] - 1 + m.Offset - m.Start})
		i += together(places[i:])
	}
	return frames, unwind, nil
}

// firstShown is where a stack begins once the runtime's own functions are left out; 0 if it
// has no others.
func firstShown(places []place) int {
	return max(slices.IndexFunc(places, func(p place) bool { return !p.runtimes }), 0)
}

// together is how many of the return addresses are of one piece of code: the runtime gives
// one for each function that was inlined there, and one for what they were inlined into.
// The first of them leads to all (runtime/pprof/proto.go, pcDeck).
func together(places []place) int {
	n := 1
	for ; n < len(places); n++ {
		last, next := places[n-1], places[n]
		if !last.inlined || last.entry == 0 || last.entry != next.entry || last.name == next.name {
			break
		}
	}
	return n
}
