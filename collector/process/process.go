// Package process keeps what is known of the machine's processes while events are
// replayed in the order of their times: who each is, what it has mapped, and
// whose labels its samples carry.
//
// A process is (PID, start time, exec generation), so neither a reused PID nor an
// exec can borrow another's mappings. [Scan] reads what runs already; lifecycle
// events keep a [Table] true from there; [Table.Process] answers for a sample.
// [Binaries] opens the mapped files as soon as they are heard of, while the
// process that can lead to them still lives.
package process

import (
	"slices"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

// Identity is a process as the kernel side sees it when it takes a sample.
type Identity struct {
	PID        uint32
	Start      uint64 // ns of CLOCK_MONOTONIC at the fork
	Generation uint64 // task_struct.self_exec_id
}

// Process is one program run by one process: an exec makes a new one.
type Process struct {
	PID       uint32
	Parent    uint32
	Service   string // "" unless assigned to it or an ancestor
	Selected  bool   // whether it, or an ancestor, was asked for
	Container string // short container ID, "" outside of one

	start      uint64 // 0 until the first sample tells
	generation uint64
	began      uint64 // when it was forked, or exec'd; 0 if that was before the recording
	execTime   uint64
	exited     uint64
	// mappings are sorted and disjoint. The slice is shared between a parent and
	// its forked children and therefore never modified in place.
	mappings []Mapping
}

// Mapping is an executable range of a process's memory and the file behind it.
type Mapping struct {
	Start, End uint64
	Offset     uint64
	Binary     *Binary
	// Batch is the number of the batch of events in which this became true; 0 if it
	// was so at the start.
	Batch uint64
}

// sameCode tells whether an address means the same in both, where both have it.
func (m Mapping) sameCode(other Mapping) bool {
	if m.Binary != other.Binary {
		return m.Binary.Anonymous() && other.Binary.Anonymous()
	}
	return m.Binary.Anonymous() || m.Start-m.Offset == other.Start-other.Offset
}

// Find returns the executable mapping that holds the address.
func (p *Process) Find(address uint64) (Mapping, bool) {
	i, found := slices.BinarySearchFunc(p.mappings, address, func(m Mapping, address uint64) int {
		switch {
		case address < m.Start:
			return 1
		case address >= m.End:
			return -1
		}
		return 0
	})
	if !found {
		return Mapping{}, false
	}
	return p.mappings[i], true
}

// Mappings are the process's executable mappings, sorted and disjoint. They are
// never modified in place; a process and its forked child share them until either
// changes.
func (p *Process) Mappings() []Mapping { return p.mappings }

// Began is when the process was forked or exec'd, 0 if before the recording.
func (p *Process) Began() uint64 { return p.began }

// Exited tells whether the process's leader has ended.
func (p *Process) Exited() bool { return p.exited != 0 }

// mapRange puts a mapping in, over whatever was in its place before, unless it says
// nothing new: JIT compilers change the protection of the same pages all the time.
func (p *Process) mapRange(m Mapping) {
	if old, ok := p.Find(m.Start); ok && old.End >= m.End && old.sameCode(m) {
		return
	}
	kept := make([]Mapping, 0, len(p.mappings)+2)
	for _, old := range p.mappings {
		if old.End <= m.Start || old.Start >= m.End {
			kept = append(kept, old)
			continue
		}
		if old.Start < m.Start {
			head := old
			head.End = m.Start
			kept = append(kept, head)
		}
		if old.End > m.End {
			tail := old
			tail.Offset += m.End - old.Start
			tail.Start = m.End
			kept = append(kept, tail)
		}
	}
	i, _ := slices.BinarySearchFunc(kept, m.Start, func(k Mapping, start uint64) int {
		if k.Start < start {
			return -1
		}
		return 1
	})
	p.mappings = slices.Insert(kept, i, m)
}

// forked is the child of p at the moment of the fork.
func (p *Process) forked(pid uint32) *Process {
	return &Process{
		PID: pid, Parent: p.PID, Service: p.Service, Selected: p.Selected, Container: p.Container,
		mappings: p.mappings,
	}
}

// executed is p after an exec: the same process, a new program with no mappings yet.
func (p *Process) executed(event lifecycle.Event) *Process {
	q := &Process{
		PID: p.PID, Parent: p.Parent, Service: p.Service, Selected: p.Selected, Container: p.Container,
		execTime: event.Time, began: event.Time,
	}
	if p.start != 0 {
		q.start, q.generation = p.start, p.generation+1
	}
	return q
}
