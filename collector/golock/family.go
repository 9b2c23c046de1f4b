package golock

import (
	"sync"

	"github.com/narrows-profiler/narrows/collector/process"
)

// Family is the processes that were asked for, and all that descend from them. It follows
// the kernel's records as they come, earlier than a replay can, so that a program has its
// probes soon after it starts. It may be used by several goroutines.
type Family struct {
	mu      sync.Mutex
	parents map[uint32]uint32
	members map[uint32]bool
}

// NewFamily starts with the processes that a scan found. None is a member yet.
func NewFamily(scanned []process.Scanned) *Family {
	f := &Family{parents: make(map[uint32]uint32, len(scanned)), members: map[uint32]bool{}}
	for _, s := range scanned {
		f.parents[s.PID] = s.Parent
	}
	return f
}

// Forked adds a process, which is a member if its parent is.
func (f *Family) Forked(pid, parent uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parents[pid] = parent
	if f.members[parent] {
		f.members[pid] = true
	}
}

// Exited removes a process.
func (f *Family) Exited(pid uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.parents, pid)
	delete(f.members, pid)
}

// Has tells whether a process is a member.
func (f *Family) Has(pid uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[pid]
}

// Add makes a process and its descendants members, and returns those that were none.
func (f *Family) Add(pid uint32) []uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	children := map[uint32][]uint32{}
	for child, parent := range f.parents {
		children[parent] = append(children[parent], child)
	}
	var added []uint32
	for todo := []uint32{pid}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if f.members[next] {
			continue // with all its descendants, or a cycle of wrong records
		}
		f.members[next] = true
		added = append(added, next)
		todo = append(todo, children[next]...)
	}
	return added
}
