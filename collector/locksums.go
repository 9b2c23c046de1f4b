package collector

import (
	"cmp"
	"errors"

	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// forgetLocks is how long the kernel keeps the sums of a lock that nobody waits for.
const forgetLocks = 3 * cutInterval

// lockSums is what was counted of all locks up to its time.
type lockSums struct {
	sums        []futex.Sums
	beforeSleep float64 // ns of each wait that are not in its sum
}

// readLockSums queues what was counted of locks up to now.
func (c *Collector) readLockSums(now uint64) error {
	if c.futexes == nil {
		return nil
	}
	var sums lockSums
	err := c.futexes.Read(now-min(now, forgetLocks), func(s futex.Sums) { sums.sums = append(sums.sums, s) })
	var late error
	sums.beforeSleep, late = c.futexes.BeforeSleep()
	c.queue.Push(now, sums)
	return errors.Join(err, late)
}

// lockSums brings what was sampled of each lock to what was counted of it in this window.
func (r *replayer) lockSums(sums lockSums) {
	f := r.offCPU.futexes
	known := make(map[futex.Key]futex.Sums, len(sums.sums))
	for _, s := range sums.sums {
		known[s.Key] = s
		delta := since(f.sums[s.Key], s)
		delta.Waited += sums.beforeSleep * (delta.Waits - delta.Changed)
		if r.opened != nil && delta != (lock.Sums{}) {
			r.lockSum(s, delta)
		}
	}
	f.sums = known
	f.counted = true
	clear(f.told)
}

// lockSum adds what was counted of one lock since the last reading.
func (r *replayer) lockSum(s futex.Sums, delta lock.Sums) {
	o := r.offCPU
	p := r.table.Identified(s.Process)
	if p == nil {
		p = &process.Process{Program: s.Key.PID}
	}
	if !r.selection.All && !p.Selected {
		return
	}
	id := futex.Identify(s.Key.PID, wait.FutexCall{Address: s.Key.Address, Operation: s.Operation, Flags: s.Flags, Value: s.Value})
	id = shared(id, s.Flags, p)
	if !futex.Exclusive(id.Kind) {
		delta.Holds, delta.HeldFor = 0, 0 // it lets others go on without having held anything
	}
	if told, ok := o.futexes.told[id.ID]; ok {
		// A lock of several processes was counted in each of them.
		take(&delta.Acquisitions, &told.Acquisitions)
		take(&delta.Waits, &told.Waits)
		take(&delta.Waited, &told.Waited)
		o.futexes.told[id.ID] = told
	}
	leader := o.thread(s.Key.PID, s.Key.PID)
	o.locks.Exact(id, lock.Thread{PID: s.Key.PID, Process: leader.Process, Service: p.Service, Container: p.Container}, delta)
}

// take takes from both what both have.
func take(a, b *float64) {
	both := min(*a, *b)
	*a -= both
	*b -= both
}

// closeLocks ends a window. One that ends early, when no sums were read, has what was sampled
// only; the next reading counts that as well.
func (o *offCPU) closeLocks() {
	f := o.futexes
	if f == nil {
		return
	}
	for id, l := range o.locks.Locks {
		if f.counted || l.PID == 0 {
			continue
		}
		id = cmp.Or(l.Of, id)
		told := f.told[id]
		told.Acquisitions += l.Acquisitions
		told.Waits += l.Waits
		told.Waited += l.Total
		f.told[id] = told
	}
	f.counted = false
}

// since is what was counted between two readings. A lock that was dropped meanwhile begins
// anew.
func since(before, now futex.Sums) lock.Sums {
	if before.Waits > now.Waits || before.Process != now.Process {
		before = futex.Sums{}
	}
	d := func(before, now uint64) float64 { return max(float64(now)-float64(before), 0) }
	return lock.Sums{
		Acquisitions: d(before.Acquisitions, now.Acquisitions), Waits: d(before.Waits, now.Waits), Waited: d(before.Waited, now.Waited),
		TimedOut: d(before.TimedOut, now.TimedOut), Interrupted: d(before.Interrupted, now.Interrupted), Changed: d(before.Changed, now.Changed),
		Holds: d(before.Holds, now.Holds), HeldFor: d(before.Held, now.Held),
	}
}
