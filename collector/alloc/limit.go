package alloc

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
)

// Limit is what probes may cost a process.
type Limit struct {
	// Slowdown is the share of the CPU time that the process would take without them.
	Slowdown float64
	// Announce is told what probes will cost before they have cost much; nil if nobody is.
	Announce func(text string)
}

const (
	// checkInterval is how often the costs are looked at.
	checkInterval = 50 * time.Millisecond
	// leastPredicted is after how much CPU time of a process it is told what the probes will
	// cost, and leastMeasured after how much it is decided: the clock is exact, but what a
	// process does in so short a time need not be what it does later.
	leastPredicted = 20 * time.Millisecond
	leastMeasured  = 100 * time.Millisecond
	// warmUp is how long the programs take longer than they will: each stack is new, and is
	// walked twice while the walker's tables are being loaded. Until then they are taken to
	// need usualRun.
	warmUp   = 2 * time.Second
	usualRun = 150 * time.Nanosecond
	// returnPrice is what the kernel needs to come back at the return of a function, beside
	// the probe at its entry, as measured on a virtual machine with Linux 6.18.
	returnPrice = 300 * time.Nanosecond
)

// measurement is what was counted until some time.
type measurement struct {
	calls   [bpf.AllocAllocFunctionALLOC_FUNCTIONS]uint64
	returns uint64
	runs    uint64 // of the programs, for all processes
	ran     time.Duration
	cpu     time.Duration // of the process
	at      time.Time
}

// hits is how often the process was probed.
func (m measurement) hits() (n uint64) {
	for _, calls := range m.calls {
		n += calls
	}
	return n
}

// measure counts for a target.
func (w *Watcher) measure(t *Target, now time.Time) measurement {
	m := measurement{at: now}
	var perCPU []bpf.AllocAllocHits
	if err := w.objects.AllocTargetHits.Lookup(t.Number, &perCPU); err == nil {
		for _, hits := range perCPU {
			for i, n := range hits.Calls {
				m.calls[i] += n
			}
			m.returns += hits.Returns
		}
	}
	if w.session == nil { // each call comes back
		m.returns = m.hits() - m.calls[bpf.AllocAllocFunctionALLOC_FREE]
	}
	m.runs, m.ran, _ = w.Cost() // not counted, usualRun stands for it
	var clock unix.Timespec
	const processCPUTime = 2 // CPUCLOCK_SCHED, of include/linux/posix-timers.h
	if unix.ClockGettime(^int32(t.PID)<<3|processCPUTime, &clock) == nil {
		m.cpu = time.Duration(clock.Nano())
	} else {
		m.cpu = t.measured.cpu
	}
	return m
}

// cost is what the hits between two measurements took from the process.
func (t *Target) cost(from, to measurement) (spent time.Duration) {
	run := usualRun
	if n := to.runs - from.runs; n > 0 && to.at.Sub(t.began) > warmUp {
		run = (to.ran - from.ran) / time.Duration(n)
	}
	for i := range to.calls {
		spent += time.Duration(to.calls[i]-from.calls[i]) * (t.prices[i] + run)
	}
	return spent + time.Duration(to.returns-from.returns)*(returnPrice+run)
}

// slowdown is the share of the time that a process would take without what was spent.
func slowdown(spent, cpu time.Duration) float64 {
	return float64(spent) / float64(max(cpu-spent, cpu/8, 1))
}

// check takes the probes from the processes that they slow down too much.
func (w *Watcher) check(now time.Time) {
	w.mu.Lock()
	due := slices.Collect(maps.Values(w.targets))
	w.mu.Unlock()
	for _, t := range due {
		if !t.Probed {
			continue
		}
		m := w.measure(t, now)
		cpu := m.cpu - t.measured.cpu
		if cpu >= leastPredicted && !t.predicted {
			w.predict(t, m)
		}
		if cpu < leastMeasured {
			continue // until there is more to go by
		}
		spent, hits := t.cost(t.measured, m), m.hits()-t.measured.hits()
		seconds := m.at.Sub(t.measured.at).Seconds()
		w.add(t, m, spent)
		if share := slowdown(spent, cpu); share > w.limit.Slowdown {
			w.detach(t.PID, false, fmt.Errorf("%.0f calls a second would slow it down by %.0f %%, of which %.3g %% are allowed (--max-slowdown)",
				float64(hits)/seconds, 100*share, 100*w.limit.Slowdown))
		}
	}
}

// predict says what the probes will cost, from the first calls.
func (w *Watcher) predict(t *Target, m measurement) {
	t.predicted = true
	spent, hits := t.cost(t.measured, m), m.hits()-t.measured.hits()
	if hits == 0 || w.limit.Announce == nil {
		return
	}
	w.limit.Announce(fmt.Sprintf("allocations of process %d: %.0f calls a second of %v each slow it down by %.2g %% (--max-slowdown is %.3g %%)",
		t.PID, float64(hits)/m.at.Sub(t.measured.at).Seconds(), (spent / time.Duration(hits)).Round(10*time.Nanosecond),
		100*slowdown(spent, m.cpu-t.measured.cpu), 100*w.limit.Slowdown))
}

// add adds to what is told of a target what was measured since the last time.
func (w *Watcher) add(t *Target, m measurement, spent time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Hits, t.Returns, t.Spent = m.hits(), m.returns, t.Spent+spent
	t.measured = m
}

// count brings what is told of a target up to date.
func (w *Watcher) count(t *Target) {
	m := w.measure(t, time.Now())
	w.add(t, m, t.cost(t.measured, m))
}
