package process

import (
	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

// execSettles is how long after an exec's record a sample may still carry the
// generation before it: the kernel raises self_exec_id a little after it writes
// the record (begin_new_exec in fs/exec.c).
const execSettles = 10e6 // ns

// keepExited is how long a process is kept after its leader's exit record: the
// kernel still works for it, and other threads may outlive the leader.
const keepExited = 10e9 // ns

// Table is the machine's processes at one moment, the time of the event applied
// last. Events must be applied in the order of their times. It is used by one
// goroutine.
type Table struct {
	processes map[uint32]*Process
	pending   map[uint32]Assignment
	rescan    func(pid uint32) (Scanned, bool)
	mistakes  Mistakes
	idle      *Process // PID 0, of which every CPU has one
}

// Mistakes counts where the events did not add up, which means that some were
// lost: the process was then read anew from /proc, or stays without mappings.
type Mistakes struct {
	UnknownProcess uint64 // a sample of a process never heard of
	MissedFork     uint64 // a PID was reused without a record
	MissedExec     uint64 // the program changed without a record
}

// Assignment is what samples of a process and its descendants carry.
type Assignment struct {
	Service  string
	Selected bool
}

// NewTable starts with what a scan found. rescan reads one process again from
// /proc when events turn out to be missing; it may be nil.
func NewTable(scanned []Scanned, rescan func(pid uint32) (Scanned, bool)) *Table {
	t := &Table{processes: map[uint32]*Process{}, pending: map[uint32]Assignment{}, rescan: rescan, idle: &Process{}}
	for _, s := range scanned {
		t.processes[s.PID] = s.process()
	}
	for _, p := range t.processes {
		p.Program = t.program(p)
	}
	return t
}

// program is the first process that runs the program of one that was found running: who
// has the executable of its parent was most likely forked without an exec.
func (t *Table) program(p *Process) uint32 {
	for range len(t.processes) {
		parent := t.processes[p.Parent]
		if parent == nil || parent == p || p.exe == "" || parent.exe != p.exe {
			break
		}
		p = parent
	}
	return p.Program
}

// Apply brings the table to the time of the event. binary is what Binaries
// returned for the event's mapping, and container what was read at an exec;
// both may be empty.
// batch is the number that new mappings carry.
func (t *Table) Apply(event lifecycle.Event, binary *Binary, container string, batch uint64) {
	p := t.processes[event.PID]
	switch event.Kind {
	case lifecycle.Fork:
		t.fork(event)
	case lifecycle.Exec:
		if p == nil {
			p = &Process{PID: event.PID, Program: event.PID}
		}
		q := p.executed(event)
		if container != "" {
			q.Container = container
		}
		t.processes[event.PID] = q
	case lifecycle.Map:
		if p == nil {
			p = &Process{PID: event.PID, Program: event.PID}
			t.processes[event.PID] = p
		}
		m := event.Mapping
		p.mapRange(Mapping{Start: m.Start, End: m.End, Offset: m.Offset, Binary: binary, Batch: batch})
	case lifecycle.Exit:
		if p != nil {
			p.exited = event.Time
		}
	}
}

func (t *Table) fork(event lifecycle.Event) {
	if known := t.processes[event.PID]; known != nil && known.began > event.Time {
		return // what it has become since is known already
	}
	parent := t.processes[event.Parent]
	if parent == nil {
		parent = &Process{PID: event.Parent, Program: event.Parent}
	}
	child := parent.forked(event.PID)
	child.began = event.Time
	if assignment, ok := t.pending[event.PID]; ok {
		child.assign(assignment)
		delete(t.pending, event.PID)
	}
	t.processes[event.PID] = child
}

// Assign gives a process and its descendants, present and future, a service's name
// or selects them. A process not yet heard of gets it when it is forked.
func (t *Table) Assign(pid uint32, assignment Assignment) {
	p, ok := t.processes[pid]
	if !ok || p.exited != 0 {
		t.pending[pid] = assignment
		return
	}
	p.assign(assignment)
	for _, q := range t.processes {
		if t.descends(q, pid) {
			q.assign(assignment)
		}
	}
}

func (p *Process) assign(a Assignment) {
	if a.Service != "" {
		p.Service = a.Service
	}
	p.Selected = p.Selected || a.Selected
}

// descends follows parents upwards, at most as many steps as there are processes:
// records about a parent may be missing, but a cycle must not hang.
func (t *Table) descends(p *Process, ancestor uint32) bool {
	for range len(t.processes) {
		if p.Parent == ancestor {
			return true
		}
		next, ok := t.processes[p.Parent]
		if !ok || next == p {
			return false
		}
		p = next
	}
	return false
}

// Process returns the process that a sample taken at the given time belongs to.
func (t *Table) Process(id Identity, time uint64) *Process {
	if id.PID == 0 {
		return t.idle
	}
	p, ok := t.processes[id.PID]
	switch {
	case !ok:
		t.mistakes.UnknownProcess++
		p = t.readAgain(id, &Process{PID: id.PID, Program: id.PID})
	case p.start == 0:
		p.start, p.generation = id.Start, id.Generation
	case p.start != id.Start:
		t.mistakes.MissedFork++
		p = t.readAgain(id, &Process{PID: id.PID, Program: id.PID})
	case p.generation != id.Generation:
		p = t.otherGeneration(p, id, time)
	}
	return p
}

// Identified returns the process if the table has just that one, else nil.
func (t *Table) Identified(id Identity) *Process {
	if p := t.processes[id.PID]; p != nil && p.start == id.Start && p.generation == id.Generation {
		return p
	}
	return nil
}

// otherGeneration decides whether a sample came within an exec, or after one whose
// record was lost.
func (t *Table) otherGeneration(p *Process, id Identity, time uint64) *Process {
	settling := p.execTime != 0 && time < p.execTime+execSettles
	switch {
	case settling && id.Generation+1 == p.generation:
		return p // the record is written, the generation not yet raised
	case settling && p.generation+1 == id.Generation:
		p.generation = id.Generation // it was learnt too early
		return p
	}
	t.mistakes.MissedExec++
	return t.readAgain(id, &Process{PID: p.PID, Parent: p.Parent, Program: p.PID, Service: p.Service, Selected: p.Selected, Container: p.Container})
}

// readAgain replaces a process by what /proc knows of it, if it is still the same
// one there, else by the blank without mappings: nameless is better than wrong.
func (t *Table) readAgain(id Identity, blank *Process) *Process {
	p := blank
	if t.rescan != nil {
		if s, ok := t.rescan(id.PID); ok && s.startedAt(id.Start) {
			p = s.process()
			p.Program = t.program(p)
			p.Service, p.Selected = blank.Service, blank.Selected
			if parent, ok := t.processes[p.Parent]; ok && blank.Parent == 0 {
				p.Service, p.Selected = parent.Service, parent.Selected
			}
		}
	}
	p.start, p.generation = id.Start, id.Generation
	t.processes[id.PID] = p
	return p
}

// Known is the process that has the PID now, nil if none is known.
func (t *Table) Known(pid uint32) *Process { return t.processes[pid] }

// Sweep forgets processes that ended a while before the given time.
func (t *Table) Sweep(now uint64) {
	for pid, p := range t.processes {
		if p.exited != 0 && p.exited+keepExited < now {
			delete(t.processes, pid)
		}
	}
}

// Mistakes tells how often the events did not add up so far.
func (t *Table) Mistakes() Mistakes { return t.mistakes }

// Len is the number of processes known.
func (t *Table) Len() int { return len(t.processes) }
