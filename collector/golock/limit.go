package golock

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/prometheus/procfs"

	"github.com/narrows-profiler/narrows/bpf"
)

// Limit is what probes may cost a process.
type Limit struct {
	// Slowdown is the share of the CPU time that the process would take without them.
	Slowdown float64
}

// DefaultSlowdown is used where no limit is given.
const DefaultSlowdown = 0.10

const (
	// checkInterval is how often the costs are looked at: the first time is the count by
	// which they are predicted.
	checkInterval = 250 * time.Millisecond
	// leastMeasured is how much CPU time, which the kernel counts in steps of 10 ms, says
	// something of a process.
	leastMeasured = 100 * time.Millisecond
	// warmUp is how long the programs take longer than they will: each stack is new, and is
	// walked twice while the walker's tables are being loaded. Until then they are taken to
	// need usualRun.
	warmUp   = 2 * time.Second
	usualRun = 350 * time.Nanosecond
)

// measurement is what was counted until some time.
type measurement struct {
	parks, readies uint64
	park, ready    ebpf.ProgramStats // of all processes
	cpu            time.Duration
	at             time.Time
}

// measure counts for a target.
func (w *Watcher) measure(t *Target, now time.Time) measurement {
	m := measurement{at: now, park: runs(w.objects.GoPark), ready: runs(w.objects.GoReady)}
	var perCPU []bpf.GoLockGoHits
	if err := w.objects.GoTargetHits.Lookup(t.number, &perCPU); err == nil {
		for _, hits := range perCPU {
			m.parks += hits.Parks
			m.readies += hits.Readies
		}
	}
	if proc, err := procfs.NewProc(int(t.PID)); err == nil {
		if stat, err := proc.Stat(); err == nil {
			m.cpu = time.Duration(stat.CPUTime() * float64(time.Second))
		}
	}
	return m
}

// runs is how often the program ran and how long; zero if that is not counted.
func runs(p *ebpf.Program) ebpf.ProgramStats {
	stats, err := p.Stats()
	if err != nil {
		return ebpf.ProgramStats{}
	}
	return *stats
}

// cost is what the hits between two measurements took from the process.
func (t *Target) cost(from, to measurement) time.Duration {
	now := to.at
	of := func(hits uint64, at place, from, to ebpf.ProgramStats) time.Duration {
		run := usualRun
		if n := to.RunCount - from.RunCount; n > 0 && now.Sub(t.began) > warmUp {
			run = (to.Runtime - from.Runtime) / time.Duration(n)
		}
		return time.Duration(hits) * (at.site.Price.Predicted() + run)
	}
	return of(to.parks-from.parks, t.program.park, from.park, to.park) + of(to.readies-from.readies, t.program.ready, from.ready, to.ready)
}

// check takes the probes from the processes that they slow down too much.
func (w *Watcher) check(now time.Time) {
	w.mu.Lock()
	due := slices.Collect(maps.Values(w.targets))
	w.mu.Unlock()
	for _, t := range due {
		m := w.measure(t, now)
		cpu := m.cpu - t.measured.cpu
		if cpu < leastMeasured {
			continue // until there is more to go by
		}
		cost := t.cost(t.measured, m)
		w.add(t, m, cost)
		slowdown := float64(cost) / float64(max(cpu-cost, cpu/8))
		if slowdown > w.limit.Slowdown {
			rate := float64(m.parks+m.readies-t.before.parks-t.before.readies) / m.at.Sub(t.before.at).Seconds()
			w.detach(t.PID, fmt.Errorf("%.0f hits a second would slow it down by %.0f %%, of which %.3g %% are allowed", rate, 100*slowdown, 100*w.limit.Slowdown))
		}
	}
}

// add adds to what is told of a target what was measured since the last time.
func (w *Watcher) add(t *Target, m measurement, cost time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Hits, t.Spent = m.parks+m.readies, t.Spent+cost
	t.before, t.measured = t.measured, m
}

// count brings what is told of a target up to date.
func (w *Watcher) count(t *Target) {
	m := w.measure(t, time.Now())
	w.add(t, m, t.cost(t.measured, m))
}
