package symbolizer

import (
	"errors"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
	"github.com/narrows-profiler/narrows/symbolizer/kallsyms"
)

// A frame is a function at an address, as its source names it.
type frame struct {
	name, systemName string
	file             string
	line, startLine  int64
}

// A resolution is what is known about an address: its frames, innermost first,
// or the reason why there are none. address is the ELF virtual address, or the
// profile's own where that is not known.
type resolution struct {
	frames  []frame
	address uint64
	reason  Reason
}

// A resolver finds the frames at an address of the profile.
type resolver interface {
	resolve(addr uint64) resolution
}

// unresolved is the resolver of a mapping that cannot be named at all.
type unresolved Reason

func (u unresolved) resolve(addr uint64) resolution {
	return resolution{address: addr, reason: Reason(u)}
}

// A kernelResolver names absolute kernel addresses.
type kernelResolver struct{ table *kallsyms.Table }

func (k kernelResolver) resolve(addr uint64) resolution {
	name, module, ok := k.table.Lookup(addr)
	if !ok {
		return resolution{address: addr, reason: NoSymbol}
	}
	f := frame{name: clean(name), systemName: clean(name)}
	if module != "" {
		f.name += " [" + clean(module) + "]"
	}
	return resolution{address: addr, frames: []frame{f}}
}

// A binaryResolver names the addresses of one mapping of a binary.
type binaryResolver struct {
	binary  *loadedBinary
	mapping *profile.Mapping
}

func (r binaryResolver) resolve(addr uint64) resolution {
	offset := addr - r.mapping.Start + r.mapping.Offset
	segment, ok := r.binary.file.Segment(offset)
	if !ok {
		return resolution{address: addr, reason: NotCode}
	}
	return r.binary.resolve(segment.Address(offset))
}

// resolve finds the frames at an ELF virtual address, and keeps them.
func (b *loadedBinary) resolve(addr uint64) resolution {
	if r, ok := b.addresses[addr]; ok {
		return r
	}
	b.load()
	r := resolution{address: addr}
	// An error is of one source; another may have answered all the same.
	found, err := b.table.Frames(addr)
	for _, f := range found {
		r.frames = append(r.frames, b.frame(f))
		b.grow(entryMemory)
	}
	switch {
	case len(found) > 0:
	case err != nil:
		r.reason = Malformed
	default:
		r.reason = b.reason
	}
	b.addresses[addr] = r
	b.grow(entryMemory)
	b.grow(b.table.Memory() - b.counted)
	b.counted = b.table.Memory()
	return r
}

// frame is a function for people.
func (b *loadedBinary) frame(f debuginfo.Frame) frame {
	system := clean(f.Function)
	return frame{
		name: b.intern(forPeople(system, f.Source)), systemName: b.intern(system), file: b.intern(clean(f.File)),
		line: int64(f.Line), startLine: int64(f.StartLine),
	}
}

// intern returns the one copy that the binary keeps of a string: most of its
// addresses share few functions and files.
func (b *loadedBinary) intern(s string) string {
	if kept, ok := b.strings[s]; ok {
		return kept
	}
	b.strings[s] = s
	b.grow(len(s) + entryMemory/2)
	return s
}

// load opens the tables of the binary when they are needed for the first time, and
// finds out why what none of them covers will have no name.
func (b *loadedBinary) load() {
	if b.addresses != nil {
		return
	}
	b.addresses = make(map[uint64]resolution)
	b.strings = make(map[string]string)
	if b.table == nil {
		b.table = b.open()
	}
	b.reason = NoSymbol
	if b.table.Empty() {
		b.reason = NoSymbols
	}
	for _, problem := range b.table.Problems() {
		switch {
		case errors.Is(problem, binary.ErrGoTableVersion):
			b.reason = UnknownGoTable
			return
		case errors.Is(problem, binary.ErrMalformed):
			b.reason = Malformed
		}
	}
}
