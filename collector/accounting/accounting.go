// Package accounting says how much CPU time there was to be sampled, so that what
// the sampler missed is computed and not guessed.
//
// A timer that ticks only on busy CPUs has no count of the ticks it skipped; time
// has. Between two [Clock.Read]s each CPU was non-idle for a known time
// ([Between]); what samples do not account for is lost.
package accounting

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Reading is the cumulated times of each CPU at one moment.
type Reading struct {
	Time uint64 // ns of CLOCK_MONOTONIC
	CPUs map[int]Times
}

// Times are cumulated since boot. The kernel gives them in hundredths of a second.
type Times struct {
	Idle  time.Duration // with nothing to run, waiting for I/O or not
	Steal time.Duration // the hypervisor ran something else
}

// Clock reads /proc/stat.
type Clock struct {
	fs procfs.FS
}

// NewClock opens /proc.
func NewClock() (*Clock, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("opening /proc: %w", err)
	}
	return &Clock{fs: fs}, nil
}

// Read takes a reading. Idle time is exact on tickless kernels, where the kernel
// measures it, while user and system time are sampled by the timer: so busy time
// is what the wall clock says less idle time.
func (c *Clock) Read() (Reading, error) {
	stat, err := c.fs.Stat()
	if err != nil {
		return Reading{}, fmt.Errorf("reading the CPUs' idle time: %w", err)
	}
	r := Reading{Time: Monotonic(), CPUs: make(map[int]Times, len(stat.CPU))}
	for cpu, t := range stat.CPU {
		r.CPUs[int(cpu)] = Times{Idle: seconds(t.Idle + t.Iowait), Steal: seconds(t.Steal)}
	}
	return r, nil
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// Monotonic is now on the clock that eBPF programs stamp events with.
func Monotonic() uint64 {
	var ts unix.Timespec
	// clock_gettime(CLOCK_MONOTONIC) fails only for a bad pointer.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return uint64(ts.Nano())
}

// CPU is what one CPU did between two readings, and what samples saw of it.
type CPU struct {
	CPU     int
	Busy    time.Duration // not idle; after Explain: what samples should add up to
	Ticking time.Duration // not seen, and explained by the sampler's own interrupts while idle
	Idle    time.Duration
	Steal   time.Duration // stolen by the hypervisor, from busy and from idle time
	Seen    time.Duration // the weight of the samples taken
	Samples uint64
	Lost    time.Duration // the part of Busy that no sample accounts for (see Missed)
}

// Between is the time of each CPU between two readings, with nothing seen yet.
// CPUs that came or went meanwhile are left out.
func Between(from, to Reading) []CPU {
	wall := time.Duration(to.Time - from.Time)
	var cpus []CPU
	for _, n := range slices.Sorted(maps.Keys(to.CPUs)) {
		start, ok := from.CPUs[n]
		if !ok {
			continue
		}
		end := to.CPUs[n]
		c := CPU{CPU: n, Idle: max(end.Idle-start.Idle, 0), Steal: max(end.Steal-start.Steal, 0)}
		c.Busy = max(wall-c.Idle, 0)
		cpus = append(cpus, c)
	}
	return cpus
}

// Explain takes off the busy time what no sample could see of it, as far as it is
// missing: what the hypervisor stole, then what the sampler's own interrupts took, of
// the given cost each.
//
// Time stolen from an idle CPU is in the kernel's idle time already, so how much was
// stolen from busy time is not known by itself. And the sampler's timer goes on while
// the CPU idles; the kernel counts its interrupts as busy, but a tick cannot sample
// itself (on a busy CPU it is part of the period that it ends). Its cost is measured
// on a busy CPU and is less on an idle one. Both are bounds of what they may explain.
func (c *CPU) Explain(period, cost time.Duration) {
	c.Busy -= min(c.Steal, max(c.Busy-c.Seen, 0))
	if period <= 0 {
		return
	}
	bound := time.Duration(float64(c.Idle) / float64(period) * float64(cost))
	c.Ticking = min(bound, max(c.Busy-c.Seen, 0))
	c.Busy -= c.Ticking
}

// Missed is the busy time that samples of the given period do not account for, where
// it is more than chance. Ticks fall on a CPU's busy moments like throws of a
// coin with the busy share as its odds, so n expected ticks vary by
// sqrt(n(1-busy)); a CPU that never idles has no such excuse. Less than three such
// deviations, and two ticks for the edges, is no loss.
func (c CPU) Missed(period time.Duration) time.Duration {
	missing := c.Busy - c.Seen
	if missing <= 0 || period <= 0 {
		return 0
	}
	wall := c.Busy + c.Ticking + c.Idle
	expected := float64(c.Busy) / float64(period)
	chance := 2 + 3*math.Sqrt(expected*(1-float64(c.Busy)/float64(wall)))
	if float64(missing)/float64(period) <= chance {
		return 0
	}
	return missing
}
