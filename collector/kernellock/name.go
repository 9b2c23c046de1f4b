package kernellock

import (
	"fmt"
	"io"
	"slices"

	"github.com/cilium/ebpf/btf"
)

// Lock is what a lock of the kernel is called.
type Lock struct {
	// Name is by what it is: inode.i_rwsem, cgroup_mutex, rq.__lock of CPU 1; or by who
	// wanted it: mutex in pipe_write (kmalloc-cg-192). Locks of one class share it.
	Name string
	Kind string
	// Single tells that no other lock has the name.
	Single bool
}

// Sources is what names come from; each may be missing.
type Sources struct {
	Types *btf.Spec // the kernel's
	// Symbols has the text of /proc/kallsyms. It is read when it is needed first.
	Symbols io.Reader
	Queues  []Queue
}

// Namer names locks. It is used by one goroutine.
type Namer struct {
	types     types
	queues    []Queue
	queueSize uint64
	symbols   io.Reader
	variables variables
	fields    map[place]string // "" if it is no lock
}

// place is where locks of one class lie.
type place struct {
	cache  string
	offset uint32
	kind   string
}

// maxFields bounds how many places are remembered.
const maxFields = 64 << 10

// NewNamer names locks by what there is.
func NewNamer(s Sources) *Namer {
	n := &Namer{types: types{s.Types}, queues: s.Queues, symbols: s.Symbols, fields: map[place]string{}}
	if s.Types != nil {
		var queue *btf.Struct
		if err := s.Types.TypeByName("rq", &queue); err == nil {
			n.queueSize = uint64(queue.Size)
		}
	}
	return n
}

// Name says what the lock of an event is called; caller is the function that wanted it.
func (n *Namer) Name(e Event, caller string) Lock {
	lock := Lock{Kind: e.Kind.Kind()}
	if e.Cache != "" {
		if lock.Name = n.field(place{e.Cache, e.Offset, lock.Kind}); lock.Name != "" {
			return lock
		}
	} else if lock.Name = n.queue(e.Lock, lock.Kind); lock.Name != "" {
		lock.Single = true
		return lock
	} else if lock.Name = n.symbol(e.Lock); lock.Name != "" {
		lock.Single = true
		return lock
	}
	lock.Name = lock.Kind
	if caller != "" {
		lock.Name += " in " + caller
	}
	if e.Cache != "" {
		lock.Name += " (" + e.Cache + ")"
	}
	return lock
}

func (n *Namer) field(p place) string {
	name, ok := n.fields[p]
	if !ok {
		if len(n.fields) >= maxFields {
			clear(n.fields)
		}
		name, _ = n.types.field(p.cache, p.offset, p.kind)
		n.fields[p] = name
	}
	return name
}

func (n *Namer) queue(address uint64, kind string) string {
	i := slices.IndexFunc(n.queues, func(q Queue) bool { return address-q.Address < n.queueSize })
	if i < 0 {
		return ""
	}
	q := n.queues[i]
	name, ok := n.types.fieldOf("rq", uint32(address-q.Address), kind)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s of CPU %d", name, q.CPU)
}

func (n *Namer) symbol(address uint64) string {
	if n.symbols != nil {
		// What cannot be read names nothing: locks are called by their callers then.
		n.variables, _ = readVariables(n.symbols)
		n.symbols = nil
	}
	name, offset, ok := n.variables.lookup(address)
	switch {
	case !ok:
		return ""
	case offset != 0:
		return fmt.Sprintf("%s+%#x", name, offset)
	}
	return name
}
