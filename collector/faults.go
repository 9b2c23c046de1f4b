package collector

import (
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/fault"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/window"
)

// faults gathers page faults into windows. It is used by one goroutine.
type faults struct {
	stacks  *window.Stacks
	builder *window.Builder
	none    *jit.Function
	// missing counts events whose stack is not known.
	missing uint64
	// last is what had been counted at the last boundary, and all what has since the first.
	last  *fault.Totals
	all   fault.Totals
	since fault.Totals // the boundary before: what the window has
}

// openFaults begins to watch page faults, where this kernel lets it.
func (c *Collector) openFaults() {
	if !c.config.Faults {
		return
	}
	if c.faults, c.faultsErr = fault.Open(c.core); c.faultsErr != nil {
		return // the report says so
	}
	stacks := c.replayer.stacks()
	if stacks == nil {
		stacks = window.NewStacks()
	}
	const name = "[no stack: lost]"
	c.replayer.faults = &faults{stacks: stacks, none: &jit.Function{Name: name, SystemName: name}}
}

// faultTotals queues what was counted up to now, so that a window knows what it lost.
func (c *Collector) faultTotals(now uint64) error {
	if c.faults == nil {
		return nil
	}
	totals, err := c.faults.Totals()
	if err == nil {
		c.queue.Push(now, totals)
	}
	return err
}

func (c *Collector) stopFaults() error {
	if c.faults == nil {
		return nil
	}
	return c.faults.Stop()
}

func (c *Collector) closeFaults() error {
	if c.faults == nil {
		return nil
	}
	return c.faults.Close()
}

// reportFaults adds how the recording of page faults went.
func (c *Collector) reportFaults(r *Report) (err error) {
	r.FaultsErr = c.faultsErr
	if c.faults == nil {
		return nil
	}
	r.Faults = c.replayer.faults.all
	r.FaultRuns, r.FaultTime, err = c.faults.Cost()
	r.Losses = append(r.Losses,
		Loss{"kernel", "page faults not sent", r.Faults.LostFaults},
		Loss{"kernel", "bytes made resident, not sent", r.Faults.LostBytes},
		Loss{"user space", "page fault without its stack", c.replayer.faults.missing},
	)
	if c.waits == nil {
		r.Losses = append(r.Losses, Loss{"user space", "no room for a page fault's stack", c.replayer.faults.stacks.Refused()})
	}
	return err
}

// stacks keeps those that events name; nil if no events do.
func (r *replayer) stacks() *window.Stacks {
	switch {
	case r.offCPU != nil:
		return r.offCPU.stacks
	case r.faults != nil:
		return r.faults.stacks
	}
	return nil
}

// begin begins a window.
func (f *faults) begin() {
	bytes := &profile.ValueType{Type: "resident", Unit: "bytes"}
	f.builder = window.NewBuilder(window.Period{Type: bytes, Value: 1}, &profile.ValueType{Type: "faults", Unit: "count"}, bytes)
	f.since = fault.Totals{}
}

// total takes what was counted up to a boundary.
func (f *faults) total(t fault.Totals) {
	if f.last != nil {
		f.since = t.Since(*f.last)
		f.all.Add(f.since)
	}
	f.last = &t
}

// fault adds an event to the window.
func (r *replayer) fault(e fault.Event) {
	if r.opened == nil {
		return
	}
	p := r.table.Process(e.Thread.Identity, e.Time)
	if !r.selection.All && !p.Selected && !r.cgroups[e.Thread.Cgroup] {
		return
	}
	f := r.faults
	stack, ok := f.stacks.Get(e.Stack)
	if !ok {
		f.missing++
		stack = window.Resolved{Frames: []window.Frame{{Function: f.none}}}
	}
	benchmark, phase := r.timeline.At(e.Time)
	f.builder.Add(window.Labels{
		Service: p.Service, Process: e.Thread.ProcessName, Thread: e.Thread.Name, Container: p.Container,
		Benchmark: benchmark, Phase: phase, Unwind: stack.Unwind, PID: e.Thread.PID, TID: e.Thread.TID,
	}, stack.Frames, int64(e.Faults), int64(e.Bytes))
}

// profile ends the window. What was lost is nobody's, so that it is only told where the
// whole machine is.
func (f *faults) profile(all bool, start time.Time, length time.Duration) *profile.Profile {
	if lost := f.since; all && (lost.LostFaults > 0 || lost.LostBytes > 0) {
		f.builder.AddLost("ring buffer full", int64(lost.LostFaults), int64(lost.LostBytes))
	}
	return f.builder.Profile(start, length)
}
