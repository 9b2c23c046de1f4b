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
	PID    uint32
	Parent uint32
	// Program is the first process that runs this program: of processes forked without an
	// exec, such as a server's workers, all have that of their common ancestor.
	Program   uint32
	Service   string // "" unless assigned to it or an ancestor
	Selected  bool   // whether it, or an ancestor, was asked for
	Container string // short container ID, "" outside of one

	exe        string // as /proc named it; empty after an exec
	start      uint64 // 0 until the first sample tells
	generation uint64
	began      uint64 // when it was forked, or exec'd; 0 if that was before the recording
	execTime   uint64
	exited     uint64
	// mappings are sorted and disjoint. A slice that somebody else has, a parent, a
	// child or a caller of Mappings, is shared and not modified in place.
	mappings []Mapping
	shared   bool
	changes  int
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
func (p *Process) Find(address uint64) (Mapping, bool) { return Find(p.mappings, address) }

// Find returns the one of the mappings that holds the address.
func Find(mappings []Mapping, address uint64) (Mapping, bool) {
	i, found := slices.BinarySearchFunc(mappings, address, func(m Mapping, address uint64) int {
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
	return mappings[i], true
}

// Mappings are the process's executable mappings, sorted and disjoint. They stay as
// they are; when the process's mappings change, it gets another list.
func (p *Process) Mappings() []Mapping {
	p.shared = true
	return p.mappings
}

// Changes is how often the mappings have changed.
func (p *Process) Changes() int { return p.changes }

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
	p.changes++
	if p.shared {
		p.mappings = slices.Clone(p.mappings)
		p.shared = false
	}
	first, _ := slices.BinarySearchFunc(p.mappings, m.Start, func(k Mapping, start uint64) int {
		if k.End <= start {
			return -1
		}
		return 1
	})
	last := first // behind those that the new one overlaps
	put := make([]Mapping, 0, 3)
	for ; last < len(p.mappings) && p.mappings[last].Start < m.End; last++ {
		if old := p.mappings[last]; old.Start < m.Start {
			old.End = m.Start
			put = append(put, old)
		}
	}
	put = append(put, m)
	if last > first {
		if old := p.mappings[last-1]; old.End > m.End {
			old.Offset += m.End - old.Start
			old.Start = m.End
			put = append(put, old)
		}
	}
	p.mappings = slices.Replace(p.mappings, first, last, put...)
}

// kthreadd is the PID of the kernel's thread that makes all its others.
const kthreadd = 2

// forked is the child of p at the moment of the fork.
func (p *Process) forked(pid uint32) *Process {
	child := &Process{
		PID: pid, Parent: p.PID, Program: p.Program, Service: p.Service, Selected: p.Selected, Container: p.Container,
		exe: p.exe, mappings: p.Mappings(), shared: true,
	}
	if p.PID == kthreadd {
		child.Program = pid // each of the kernel's threads is something else
	}
	return child
}

// executed is p after an exec: the same process, a new program with no mappings yet.
func (p *Process) executed(event lifecycle.Event) *Process {
	q := &Process{
		PID: p.PID, Parent: p.Parent, Program: p.PID, Service: p.Service, Selected: p.Selected, Container: p.Container,
		execTime: event.Time, began: event.Time,
	}
	if p.start != 0 {
		q.start, q.generation = p.start, p.generation+1
	}
	return q
}
