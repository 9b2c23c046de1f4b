package unwind

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
)

const (
	// patience is how long a process waits for its files to be opened before it is
	// described without those that are not.
	patience = time.Second
	// reclaimInterval is how often sets that no process has are freed, if there are
	// more than idleSets of them.
	reclaimInterval = time.Second
	idleSets        = 64
)

// Event is a lifecycle event and what was found out when it was read.
type Event struct {
	lifecycle.Event
	Binary    *process.Binary
	Container string
}

// Tracker keeps the walker's view of processes true: it follows the events as they
// come, and describes a process when a sample asks for it. Its methods may be called
// by several goroutines, which they never keep waiting.
type Tracker struct {
	table     *process.Table
	sets      *sets
	tables    *Tables
	processes *handles

	inbox       inbox
	begun       atomic.Uint64 // the number of the batch that is being read
	waiting     map[uint32]request
	preparing   map[uint32]prepare // processes whose tables are wanted
	outstanding atomic.Int64       // len(waiting)
	dirty       map[uint32]bool
	cleaned     time.Time

	wait  sync.WaitGroup
	mu    sync.Mutex
	stats TrackerStatistics
	err   error
}

// TrackerStatistics counts what the tracker did.
type TrackerStatistics struct {
	Described  uint64 // processes described to the kernel because a sample asked
	Updated    uint64 // ... or anew, because their mappings changed
	TooMany    uint64 // processes with more mappings than the kernel can search
	Full       uint64 // times that a process found no room
	Impossible uint64 // asked about processes that are no longer there
	Sets       int    // sets of mappings that the kernel knows now
}

// request is a sample's that found no mappings.
type request struct {
	id    process.Identity
	time  uint64
	after uint64    // the batch that was being read when the sample came
	since time.Time // the first request
	// file is the one whose table is missing; 0 if it is the mappings.
	file   uint32
	memory *Memory
}

// batch is everything that happened until some moment.
type batch struct {
	number uint64
	events []Event
}

// NewTracker starts with the processes that a scan found. rescan is as in
// process.NewTable.
func NewTracker(c *core.Core, tables *Tables, scanned []process.Scanned, rescan func(uint32) (process.Scanned, bool)) (*Tracker, error) {
	sets, err := newSets(c, tables)
	if err != nil {
		return nil, err
	}
	t := &Tracker{
		table: process.NewTable(scanned, rescan), sets: sets, tables: tables,
		processes: newHandles(c.Processes(), sets),
		waiting:   map[uint32]request{}, preparing: map[uint32]prepare{}, dirty: map[uint32]bool{},
	}
	t.inbox.init()
	t.wait.Go(t.run)
	return t, nil
}

// Begin tells that the events are read now, and gives the number for those that come.
func (t *Tracker) Begin() (number uint64) { return t.begun.Add(1) }

// Apply takes a batch of events, in the order of their times, and the number that
// Begin gave before they were read. Batches come in the order of their numbers.
func (t *Tracker) Apply(number uint64, events []Event) { t.inbox.put(batch{number, events}) }

// Waits tells whether a batch without events would be of use: requests wait for it.
func (t *Tracker) Waits() bool { return t.outstanding.Load() > 0 || t.inbox.asked() }

// Walked is how a walk in the kernel ended.
type Walked struct {
	Process process.Identity
	Time    uint64 // ns of CLOCK_MONOTONIC
	End     bpf.CoreUnwindEnd
	// File is the one whose table was missing, by its number in the kernel.
	File uint32
	// Memory is the stack from where the walk left off, if more knowledge would have
	// helped and it was sent.
	Memory *Memory
}

// Missing has what a walk ended for want of made ready, if it did: the mappings of a
// process, or a file's table. It answers true if the next batch of events is needed for
// that, the sooner the better.
func (t *Tracker) Missing(w Walked) (waits bool) {
	switch w.End {
	case bpf.CoreUnwindEndUNWIND_NO_TABLE:
		if t.tables.wants(w.File) {
			t.inbox.put(request{id: w.Process, time: w.Time, file: w.File, memory: w.Memory})
		}
	case bpf.CoreUnwindEndUNWIND_NO_PROCESS, bpf.CoreUnwindEndUNWIND_NO_MAPPING:
		t.inbox.put(request{id: w.Process, time: w.Time, after: t.begun.Load(), memory: w.Memory})
		return true
	}
	return false
}

// Close ends the tracking. No program may walk by the maps any more.
func (t *Tracker) Close() error {
	t.inbox.close()
	t.wait.Wait()
	return errors.Join(t.err, t.sets.close())
}

// Statistics tells what happened so far.
func (t *Tracker) Statistics() TrackerStatistics {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

func (t *Tracker) run() {
	for {
		message, ok := t.inbox.take()
		if !ok {
			return
		}
		var err error
		switch m := message.(type) {
		case batch:
			err = t.apply(m)
		case request:
			t.ask(m)
		case preparation:
			t.take(m)
		}
		if err != nil && t.err == nil {
			t.err = err
		}
	}
}

func (t *Tracker) ask(r request) {
	if r.id.PID == 0 {
		return
	}
	if r.file != 0 {
		t.tables.request(r.file, r.memory, t.table.Known(r.id.PID))
		return
	}
	r.since = time.Now()
	if earlier, ok := t.waiting[r.id.PID]; ok {
		r.since = earlier.since
	}
	t.waiting[r.id.PID] = r
	t.outstanding.Store(int64(len(t.waiting) + len(t.preparing)))
}

// apply follows the events, then describes what has changed and what was asked for.
func (t *Tracker) apply(b batch) error {
	var failures []error
	for _, e := range b.events {
		failures = append(failures, t.follow(e, b.number))
	}
	for pid := range t.dirty {
		failures = append(failures, t.update(pid, b.number))
	}
	clear(t.dirty)
	for pid, r := range t.waiting {
		// An exec before the sample is known only if the events were read after it came.
		if r.after >= b.number {
			continue
		}
		done, err := t.describe(r, b.number)
		failures = append(failures, err)
		if done {
			delete(t.waiting, pid)
		}
	}
	t.prepared(b.number)
	t.outstanding.Store(int64(len(t.waiting) + len(t.preparing)))
	t.clean()
	return errors.Join(failures...)
}

// follow brings the table up to an event. What the kernel holds of a program that
// has ended is of no use to anyone.
func (t *Tracker) follow(e Event, number uint64) error {
	changes := 0
	if p := t.table.Known(e.PID); p != nil {
		changes = p.Changes()
	}
	t.table.Apply(e.Event, e.Binary, e.Container, number)
	switch e.Kind {
	case lifecycle.Fork:
		if t.processes.known[e.Parent] {
			t.processes.known[e.PID] = true
			if t.dirty[e.Parent] {
				t.dirty[e.PID] = true
			}
		}
	case lifecycle.Exec, lifecycle.Exit:
		delete(t.dirty, e.PID)
		delete(t.waiting, e.PID)
		return t.processes.remove(e.PID)
	case lifecycle.Map:
		if t.processes.known[e.PID] && t.table.Known(e.PID).Changes() != changes {
			t.dirty[e.PID] = true
		}
	}
	return nil
}

// update gives a process that the kernel knows its present mappings.
func (t *Tracker) update(pid uint32, number uint64) error {
	p := t.table.Known(pid)
	if p == nil {
		return nil
	}
	current, ok, err := t.processes.get(pid)
	if err != nil || !ok {
		return err
	}
	x, ready, err := t.sets.get(p.Mappings(), number, true)
	if !ready || errors.Is(err, errNone) {
		// Its files are being opened: the next sample that misses something asks.
		return nil
	}
	if err != nil {
		t.refused(err)
		return nil
	}
	t.count(func(s *TrackerStatistics) { s.Updated++ })
	return t.put(pid, process.Identity{PID: pid, Start: current.Start, Generation: current.Generation}, x)
}

// describe gives the kernel what a sample found missing; false if it must wait.
func (t *Tracker) describe(r request, number uint64) (done bool, err error) {
	if p := t.table.Known(r.id.PID); p != nil && (p.Exited() || p.Began() > r.time) {
		t.count(func(s *TrackerStatistics) { s.Impossible++ })
		return true, nil // what was sampled is over
	}
	p := t.table.Process(r.id, r.time)
	x, ready, err := t.sets.get(p.Mappings(), number, time.Since(r.since) < patience)
	if !ready {
		return false, nil
	}
	if err != nil {
		t.refused(err)
		return true, nil
	}
	current, ok, err := t.processes.get(r.id.PID)
	if err != nil {
		return true, err
	}
	if ok && current.Version == x.version && current.Start == r.id.Start && current.Generation == r.id.Generation {
		return true, nil // it knows already: the address is in no mapping
	}
	t.count(func(s *TrackerStatistics) { s.Described++ })
	t.tables.request(withoutFile, r.memory, p)
	return true, t.put(r.id.PID, r.id, x)
}

func (t *Tracker) put(pid uint32, id process.Identity, x *set) error {
	err := t.processes.put(id, x)
	if errors.Is(err, errFull) {
		t.refused(err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("describing process %d to the kernel: %w", pid, err)
	}
	return nil
}

func (t *Tracker) refused(err error) {
	t.count(func(s *TrackerStatistics) {
		switch {
		case errors.Is(err, errFull):
			s.Full++
		case errors.Is(err, errNone):
			s.Impossible++
		default:
			s.TooMany++
		}
	})
}

func (t *Tracker) count(change func(*TrackerStatistics)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.stats)
}

// clean frees what is not used, now and then.
func (t *Tracker) clean() {
	if time.Since(t.cleaned) < reclaimInterval {
		return
	}
	t.cleaned = time.Now()
	t.table.Sweep(accounting.Monotonic())
	if n := len(t.sets.idle()); n > idleSets {
		t.sets.reclaim()
	}
	t.count(func(s *TrackerStatistics) { s.Sets = len(t.sets.known) })
}
