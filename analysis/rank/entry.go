package rank

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

const (
	// leastShare of the benchmark's time is what a wait needs to be a place.
	leastShare = 0.001
	// allCPUs is the part of the CPUs' time from which on a service asks for all of them.
	allCPUs = 0.8
	// heldUpShare is how long a service waits for locks for each second that it
	// computes, from which on its queues are taken for a consequence of that.
	heldUpShare = 0.5
)

// noCPU stands for all functions that waited for a CPU: which ones is chance.
const noCPU = "[waiting for a CPU]"

// orderBy orders by number, the largest first, then by name.
func orderBy(x, y int64, a, b string) int { return cmp.Or(cmp.Compare(y, x), cmp.Compare(a, b)) }

// byTime lists a service's places of all kinds by their share of the benchmark's time.
func (t *Tally) byTime(key groupKey, cpu []Bottleneck, m Measured, o Options) (entries []Entry, unranked []Unranked) {
	entries, unranked = []Entry{}, []Unranked{}
	seconds := o.Seconds[key.benchmark]
	if seconds <= 0 {
		return entries, unranked
	}
	for i := range cpu {
		if e, ok := t.cpuEntry(key, &cpu[i], seconds, m, o); ok {
			entries = append(entries, e)
		}
	}
	entries = append(entries, t.memoryEntries(key, seconds, m, o)...)
	if g := t.waiting.groups[key]; g != nil {
		reasons := maps.Clone(g.unranked)
		for _, k := range slices.SortedFunc(maps.Keys(g.places), compareWaitKeys) {
			p := g.places[k]
			switch reason := t.unrankable(key, k, seconds, m, o); {
			case k.signal == OffCPU && g.locked[p.state] > 0: // the same seconds as of locks
			case reason != "":
				reasons[reason] += p.ns
			default:
				entries = append(entries, t.waitEntry(key, k, g, seconds, m, o))
			}
		}
		for _, reason := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int { return orderBy(reasons[a], reasons[b], a, b) }) {
			if reasons[reason] > 0 {
				unranked = append(unranked, Unranked{Reason: reason, NS: reasons[reason]})
			}
		}
	}
	slices.SortStableFunc(entries, compareEntries)
	return entries, unranked
}

// asked is the part of all CPUs' time that a service used or was ready to use, null if it is
// not known how many there are.
func (t *Tally) asked(key groupKey, seconds float64, o Options) *float64 {
	if o.CPUs <= 0 {
		return nil
	}
	ns := t.existing(key).total.ns
	if g := t.waiting.groups[key]; g != nil {
		if p := g.places[waitKey{Runnable, ""}]; p != nil {
			ns += p.ns
		}
	}
	part := share(ns, seconds*float64(o.CPUs))
	return &part
}

// unrankable says why a place is not listed. A queue is a bottleneck of its own only while
// CPUs are idle that those who would take from it do not ask for, and nothing holds them up.
func (t *Tally) unrankable(key groupKey, k waitKey, seconds float64, m Measured, o Options) string {
	g, asked := t.waiting.groups[key], t.asked(key, seconds, o)
	p := g.places[k]
	queue := queueKinds[most(p.kinds)] && k.signal == Lock
	switch {
	case queue && float64(p.ns)/float64(max(p.samples, 1)) >= seconds*1e9/2: // it waits for an end
		return noWork
	case queue && (asked != nil && *asked >= allCPUs || m.CPUsBusy != nil && *m.CPUsBusy >= allCPUs):
		return awaited
	case queue && (float64(g.heldUp()) >= heldUpShare*float64(t.existing(key).total.ns) && g.heldUp() > 0 || t.isBehind(key, k)):
		return behind
	case float64(p.ns) < leastShare*seconds*1e9:
		return tiny
	}
	return ""
}

// heldUp is the time of waits for locks that somebody holds.
func (g *waitGroup) heldUp() int64 {
	var ns int64
	for k, p := range g.places {
		if k.signal == Lock && !queueKinds[most(p.kinds)] {
			ns += p.ns
		}
	}
	return ns
}

func compareWaitKeys(a, b waitKey) int {
	return cmp.Or(cmp.Compare(a.signal, b.signal), cmp.Compare(a.id, b.id))
}

func compareEntries(a, b Entry) int {
	return cmp.Or(cmp.Compare(b.TimeShare, a.TimeShare), cmp.Compare(a.Signal, b.Signal), cmp.Compare(a.What, b.What),
		cmp.Compare(a.Benchmark, b.Benchmark), cmp.Compare(a.Function, b.Function), cmp.Compare(a.Binary, b.Binary))
}

// timeOf names what time shares are shares of.
func timeOf(benchmark string) string {
	if benchmark == "" {
		return "time of the recording"
	}
	return "time that " + benchmark + " ran"
}

// cpuEntry describes a function that computes, without the time of it that counts as that of
// memory; ok is false if too little is left.
func (t *Tally) cpuEntry(key groupKey, b *Bottleneck, seconds float64, m Measured, o Options) (e Entry, ok bool) {
	e = Entry{
		Benchmark: b.Benchmark, Service: b.Service, Signal: CPU, What: "CPU", Function: b.Function, Binary: b.Binary,
		NS: b.SelfNS, Count: b.Samples, TimeShare: share(b.SelfNS, seconds), Of: timeOf(b.Benchmark),
		Holders: []Part{}, Held: []Part{}, Stacks: b.Stacks, Priority: b.Priority, PriorityReason: b.PriorityReason,
		Cause: "computes", CauseReason: "the function itself used the CPU; its callers and interval are in bottlenecks",
		Evidence: b.Evidence, AlsoIn: []EntryElsewhere{}, Unavailable: map[string]string{},
	}
	e.Payoff = &b.Payoff
	g := t.existing(key)
	memory := g.places[t.ids[frame{b.Function, b.Binary}]].ofMemory
	if memory.ns == 0 {
		return e, true
	}
	e.NS, e.Count = e.NS-memory.ns, e.Count-memory.samples
	e.TimeShare = share(e.NS, seconds)
	rest := payoff(ratio(e.NS, g.total.ns), denominator(key))
	e.Payoff = &rest
	e.Priority, e.PriorityReason = prioritise(max(0, b.Interval.Low-ratio(memory.ns, g.total.ns)), m.Verdict)
	return e, e.NS > 0 && e.Count >= o.MinSamples
}

func share(ns int64, seconds float64) float64 { return float64(ns) / (seconds * 1e9) }

// waitEntry describes a place that waits.
func (t *Tally) waitEntry(key groupKey, k waitKey, g *waitGroup, seconds float64, m Measured, o Options) Entry {
	p := g.places[k]
	e := Entry{
		Benchmark: key.benchmark, Service: key.service, Signal: k.signal, What: most(p.kinds), Function: most(p.sites),
		NS: p.ns, Count: p.samples, TimeShare: share(p.ns, seconds), Of: timeOf(key.benchmark),
		Stacks: p.heaviest(), AlsoIn: []EntryElsewhere{}, Unavailable: map[string]string{},
	}
	f := facts{entry: &e, state: p.state, asked: t.asked(key, seconds, o), all: m.CPUsBusy}
	e.Holders, e.Held = []Part{}, []Part{}
	if k.signal == Lock {
		if len(p.locks) == 1 {
			for id := range p.locks {
				e.Lock = id
			}
		}
		e.Holders, e.Held = t.holders(key.benchmark, g, k, &e)
		for id := range p.locks {
			f.queue = max(f.queue, o.Queues[id])
		}
	}
	e.Cause, e.CauseReason = explain(f)
	e.Payoff = waitPayoff(&e, m)
	if e.Payoff == nil {
		e.Unavailable["payoff"] = "requests came on a schedule, so that the benchmark's time does not shrink when they wait less; how much of each request's time this is, is not known"
	}
	e.Priority, e.PriorityReason = prioritise(min(1, e.TimeShare), m.Verdict)
	if k.signal == Runnable {
		e.Function = noCPU
	}
	e.Evidence = waitCommand(k.signal, key, e.Function)
	return e
}

// waitPayoff is the most that a closed loop gains by not waiting there; of an open one nothing
// can be said.
func waitPayoff(e *Entry, m Measured) *Payoff {
	if m.LoadModel != closedLoop {
		return nil
	}
	p := payoff(min(1, e.TimeShare), e.Of)
	return &p
}

const closedLoop = "closed-loop"

// holders are the functions that let the locks of a place go, and what holders did.
func (t *Tally) holders(benchmark string, g *waitGroup, k waitKey, e *Entry) (holders, held []Part) {
	p := g.places[k]
	blame, did := map[string]int64{}, map[string]int64{}
	for id := range p.locks {
		add(blame, t.waiting.blame[lockKey{benchmark, id}])
		add(did, t.waiting.held[lockKey{benchmark, id}])
	}
	holders, held = parts(blame, maxCallers), parts(did, maxCallers)
	if len(holders) == 0 {
		e.Unavailable["holders"] = "no stack that let it go was recorded during the benchmark"
	}
	e.HeldBasis = "what its holders did while others waited"
	if len(held) > 0 || queueKinds[e.What] || len(holders) == 0 {
		return holders, held
	}
	// Nothing was recorded of holders: what ran and waited below the function that took the lock
	// and lets it go, or the one that calls both, is the next best.
	key, below := groupKey{benchmark, e.Service}, holders[0].What
	if below != e.Function {
		below = cmp.Or(t.servedBelow(key, k), below)
	}
	add(did, g.within[below])
	did["running"] += t.cpuBelow(key)[below]
	for other, ns := range g.under[below] {
		if other.signal == Lock && other != k {
			did["futex"] += ns
		}
	}
	e.HeldBasis = "what was done below " + below + ", with and without somebody waiting"
	return holders, parts(did, maxCallers)
}

func add(sum, of map[string]int64) {
	for k, ns := range of {
		sum[k] += ns
	}
}

// parts lists the largest parts of a sum.
func parts(m map[string]int64, n int) []Part {
	var all int64
	for _, ns := range m {
		all += ns
	}
	list := []Part{}
	for _, what := range slices.SortedFunc(maps.Keys(m), func(a, b string) int { return orderBy(m[a], m[b], a, b) }) {
		if len(list) < n && m[what] > 0 {
			list = append(list, Part{What: what, NS: m[what], Share: ratio(m[what], all)})
		}
	}
	return list
}

// waitCommand is a shell command that shows a place that waits.
func waitCommand(signal Signal, key groupKey, function string) string {
	file, index := "offcpu.pb.gz", "offcpu"
	if signal == Lock {
		file, index = "lock-wait.pb.gz", "delay"
	}
	binary, _ := strings.CutPrefix(strings.TrimSuffix(function, "]"), unnamedIn) // of a function without a name
	line := strings.Replace(command(file, key, frame{function: function, binary: binary}), "-sample_index=cpu", "-sample_index="+index, 1)
	if signal == Runnable {
		line = strings.Replace(line, "-peek="+quote("^"+pattern(noCPU)+"$"), "-top", 1)
		if strings.Contains(line, " -tagfocus=") {
			line = strings.Replace(line, "$' -top", "$,^state:runnable$' -top", 1)
		} else {
			line = strings.Replace(line, " -top", " -tagfocus='^state:runnable$' -top", 1)
		}
	}
	return line
}

// ForemostByTime returns the n places of a service with the largest shares of a benchmark's
// time, each once, among those that Ranked shows.
func (r *Report) ForemostByTime(service string, n int) []Entry {
	var all []Entry
	for i := range r.Ranked {
		for j := range r.Ranked[i].Services {
			if s := &r.Ranked[i].Services[j]; s.Service == service {
				all = append(all, s.ByTime...)
			}
		}
	}
	slices.SortStableFunc(all, compareEntries)
	top := []Entry{}
	for _, e := range all {
		i := slices.IndexFunc(top, func(o Entry) bool {
			return o.Signal == e.Signal && o.What == e.What && o.Function == e.Function && o.Binary == e.Binary
		})
		switch {
		case i >= 0 && top[i].Benchmark != e.Benchmark:
			top[i].AlsoIn = append(top[i].AlsoIn, EntryElsewhere{Benchmark: e.Benchmark, TimeShare: e.TimeShare})
		case i < 0 && len(top) < n:
			e.AlsoIn = []EntryElsewhere{}
			top = append(top, e)
		}
	}
	return top
}

// cpusBusy is the part of all CPUs' time that was used while a benchmark ran.
func cpusBusy(m *Measured, o Options) *float64 {
	if m.WallSeconds == nil || o.CPUs <= 0 {
		return nil
	}
	busy := min(1, share(m.RecordedNS, *m.WallSeconds*float64(o.CPUs)))
	return &busy
}

// setTime adds how long the benchmark ran.
func (m *Measured) setTime(document *metrics.Document, o Options) {
	if document != nil {
		m.LoadModel = document.Load.Model
	}
	m.TimeDenominator = fmt.Sprintf("seconds of CPU time or of waiting, of all threads and goroutines together, for each second of the %s: several that wait at the same time make more than 1", timeOf(m.Benchmark))
	if s := o.Seconds[m.Benchmark]; s > 0 {
		m.WallSeconds = &s
	}
	m.CPUsBusy = cpusBusy(m, o)
}
