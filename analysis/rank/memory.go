package rank

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/memory"
)

// maxMemorySites bounds the functions of which is known what memory they took.
const maxMemorySites = 100_000

// garbageCollector stands for all functions for which a garbage collector works, where it is
// not known how much each of them allocated.
const garbageCollector = "[garbage collector]"

// memoryPlace is a function of the program that CPU time is spent for on memory.
type memoryPlace struct {
	place
	parts map[string]int64 // what on; see memory.Work
}

func newMemoryPlace() *memoryPlace { return &memoryPlace{*newPlace(), map[string]int64{}} }

// memoryKey is a function of a service. What it allocated is known of the whole recording:
// the benchmark is empty there.
type memoryKey struct {
	groupKey
	site frame
}

// addMemory adds a sample to the function that it takes memory for, if it does.
func (t *Tally) addMemory(g *group, innermost *place, stack []uint32, phase string, w weight) {
	kinds := t.scratch[:0]
	for _, id := range stack {
		kinds = append(kinds, t.kinds[id])
	}
	t.scratch = kinds
	doing, site, ok := memory.Work(kinds)
	if !ok {
		return
	}
	var p *memoryPlace
	switch {
	case site >= 0:
		id := stack[site]
		if p = g.memory[id]; p == nil {
			p = newMemoryPlace()
			g.memory[id] = p
		}
	case doing == memory.Collecting:
		if g.collected == nil {
			g.collected = newMemoryPlace()
		}
		p = g.collected
	default:
		return // of nobody: a thread of the kernel
	}
	innermost.ofMemory.add(w)
	p.parts[doing] += w.ns
	t.addToPlace(&p.place, stack, phase, w)
}

// AddAlloc counts one window's profile of allocations.
func (t *Tally) AddAlloc(p *profile.Profile) error {
	return t.addTaken(p, []string{"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"}, func(s *profile.Sample, m *Memory) {
		m.AllocatedObjects += s.Value[0]
		m.AllocatedBytes += s.Value[1]
		m.LiveBytes += s.Value[3]
	}, false)
}

// AddFault counts one window's profile of page faults.
func (t *Tally) AddFault(p *profile.Profile) error {
	return t.addTaken(p, []string{"faults", "resident"}, func(s *profile.Sample, m *Memory) {
		m.Faults += s.Value[0]
		m.ResidentBytes += s.Value[1]
	}, true)
}

// addTaken adds what functions took by the stacks of a profile.
func (t *Tally) addTaken(p *profile.Profile, types []string, add func(*profile.Sample, *Memory), byBenchmark bool) error {
	if !slices.EqualFunc(p.SampleType, types, func(of *profile.ValueType, name string) bool { return of.Type == name }) {
		return fmt.Errorf("a profile of memory has not the sample types %v", types)
	}
	if t.taken == nil {
		t.taken = map[memoryKey]*Memory{}
	}
	for _, s := range p.Sample {
		if _, lost := lostReason(s); lost || slices.ContainsFunc(s.Value, func(v int64) bool { return v < 0 || v > 1<<55 }) {
			continue
		}
		site, ok := t.takenBy(s)
		if !ok {
			continue
		}
		key := memoryKey{groupKey{service: label(s, "service")}, site}
		if byBenchmark {
			key.benchmark = label(s, "benchmark")
		}
		m := t.taken[key]
		if m == nil {
			if len(t.taken) >= maxMemorySites {
				continue
			}
			m = &Memory{}
			t.taken[key] = m
		}
		add(s, m)
	}
	return nil
}

// takenBy is the function of the program for which a stack takes memory.
func (t *Tally) takenBy(s *profile.Sample) (frame, bool) {
	stack, _ := t.stack(s)
	for _, id := range stack {
		if t.kinds[id] == memory.Program {
			return t.frames[id], true
		}
	}
	return frame{}, false
}

// takenIn is what a function took, nil if nothing is known of it.
func (t *Tally) takenIn(key groupKey, site frame) *Memory {
	allocated, faulted := t.taken[memoryKey{groupKey{service: key.service}, site}], t.taken[memoryKey{key, site}]
	switch {
	case allocated == nil || allocated == faulted:
		return faulted
	case faulted == nil:
		return allocated
	}
	sum := *allocated
	sum.Faults, sum.ResidentBytes = faulted.Faults, faulted.ResidentBytes
	return &sum
}

// shareOutCollected says for which function how much of the garbage collector's work was done, by
// the bytes they allocated: collections are due when so many bytes were. It is empty where that
// was not recorded.
func (t *Tally) shareOutCollected(key groupKey, collected weight) map[frame]weight {
	var all float64
	by := map[frame]float64{}
	for k, m := range t.taken {
		if k.service == key.service && k.benchmark == "" && m.AllocatedBytes > 0 {
			by[k.site] = float64(m.AllocatedBytes)
			all += float64(m.AllocatedBytes)
		}
	}
	shares := map[frame]weight{}
	for site, bytes := range by {
		w := weight{ns: int64(float64(collected.ns) * bytes / all), samples: int64(float64(collected.samples) * bytes / all)}
		if w.ns > 0 {
			shares[site] = w
		}
	}
	return shares
}

// memoryEntries are the places of a service that take memory.
func (t *Tally) memoryEntries(key groupKey, seconds float64, m Measured, o Options) []Entry {
	g := t.existing(key)
	var shares map[frame]weight
	places := map[frame]*memoryPlace{}
	for id, p := range g.memory {
		places[t.frames[id]] = p
	}
	if g.collected != nil {
		shares = t.shareOutCollected(key, g.collected.self)
		if len(shares) == 0 {
			places[frame{function: garbageCollector}] = g.collected
		}
	}
	for site := range shares {
		if places[site] == nil {
			places[site] = newMemoryPlace()
		}
	}
	var entries []Entry
	for _, site := range slices.SortedFunc(maps.Keys(places), compareFrames) {
		if e, ok := t.memoryEntry(key, site, places[site], shares[site], seconds, m, o); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// memoryEntry describes a place that takes memory, with its share of the garbage collector's
// work; ok is false if it has too few samples.
func (t *Tally) memoryEntry(key groupKey, site frame, p *memoryPlace, collected weight, seconds float64, m Measured, o Options) (e Entry, ok bool) {
	g := t.existing(key)
	all := p.self
	all.add(collected)
	if all.samples < o.MinSamples || all.ns == 0 {
		return e, false
	}
	doing := maps.Clone(p.parts)
	if collected.ns > 0 {
		doing[memory.Collecting] += collected.ns
	}
	e = Entry{
		Benchmark: key.benchmark, Service: key.service, Signal: Heap, Function: site.function, Binary: site.binary,
		NS: all.ns, Count: all.samples, TimeShare: share(all.ns, seconds), Of: timeOf(key.benchmark),
		Holders: []Part{}, Held: parts(doing, len(doing)), HeldBasis: "the CPU time of the memory that it takes",
		Stacks: t.stacks(&p.place), AlsoIn: []EntryElsewhere{}, Unavailable: map[string]string{},
		Memory: t.takenIn(key, site), Evidence: command(o.Profile, key, site),
	}
	e.What = takes[e.Held[0].What]
	e.Cause, e.CauseReason = explainMemory(&e, collected.ns > 0)
	bound := payoff(ratio(all.ns, g.total.ns), denominator(key))
	e.Payoff = &bound
	low := shareInterval(g, &p.place, o.Confidence).Low + ratio(collected.ns, g.total.ns)
	e.Priority, e.PriorityReason = prioritise(min(1, low), m.Verdict)
	return e, true
}

// takes is what a place does that spends most on it.
var takes = map[string]string{
	memory.Allocating: "allocation", memory.Collecting: "garbage", memory.Faulting: "page faults", memory.Mapping: "mappings",
}

// explainMemory says why a place takes time for its memory.
func explainMemory(e *Entry, shared bool) (cause, because string) {
	because = memoryParts(e.Held)
	switch e.Held[0].What {
	case memory.Collecting:
		cause = "garbage collection"
	case memory.Faulting:
		cause = "touches memory that it does not have yet"
	case memory.Mapping:
		cause = "maps memory and gives it back"
	default:
		cause = "allocates"
		if m := e.Memory; m != nil && m.AllocatedBytes > 0 && m.LiveBytes < m.AllocatedBytes/10 {
			cause = "allocation churn"
		}
	}
	if m := e.Memory; m != nil && m.AllocatedBytes > 0 {
		because += fmt.Sprintf("; in the recording it allocated %s in %d blocks, and %s of it was in use at the end", memory.Megabytes(m.AllocatedBytes), m.AllocatedObjects, memory.Megabytes(m.LiveBytes))
	}
	if m := e.Memory; m != nil && m.Faults > 0 {
		because += fmt.Sprintf("; %s were taken for it at %d page faults", memory.Megabytes(m.ResidentBytes), m.Faults)
	}
	switch {
	case shared:
		because += "; the garbage collector's time is shared out by bytes allocated"
	case e.Function == garbageCollector:
		because += "; whose garbage it is was not recorded: --alloc tells"
	}
	return cause, because
}

// memoryParts lists what CPU time went to.
func memoryParts(list []Part) string {
	text := ""
	for i, p := range list {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.0f %% %s", 100*p.Share, spent[p.What])
	}
	return text + " of the CPU time of its memory"
}

var spent = map[string]string{
	memory.Allocating: "in the allocator", memory.Collecting: "in the garbage collector", memory.Faulting: "in page faults", memory.Mapping: "in system calls on mappings",
}
