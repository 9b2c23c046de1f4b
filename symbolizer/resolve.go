package symbolizer

import (
	"cmp"
	"errors"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
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

// resolve finds the frames at an ELF virtual address: Go's table first, because
// only it knows lines and inlining, then the ELF symbols.
func (b *loadedBinary) resolve(addr uint64) resolution {
	b.load()
	goReason := b.goReason
	if b.goTable != nil && b.goTable.Covers(addr) {
		frames, err := b.goFrames(addr)
		if err == nil && len(frames) > 0 {
			return resolution{address: addr, frames: frames}
		}
		goReason = NoSymbol
		if err != nil {
			goReason = MalformedGoTable
		}
	}
	if b.symbols == nil {
		return resolution{address: addr, reason: cmp.Or(goReason, b.symbolsReason)}
	}
	symbol, ok := b.symbols.Lookup(addr)
	if !ok {
		return resolution{address: addr, reason: cmp.Or(goReason, NoSymbol)}
	}
	frames, ok := b.functions[symbol.Start]
	if !ok {
		// A name that cannot be read is as good as none, and is not asked for
		// again.
		if name, err := b.symbols.Name(symbol); err == nil && name != "" {
			system := clean(name)
			frames = []frame{{name: clean(demangled(name)), systemName: system}}
			b.grow(len(frames[0].name) + len(system))
		}
		b.functions[symbol.Start] = frames
		b.grow(entryMemory)
	}
	if len(frames) == 0 {
		return resolution{address: addr, reason: NoSymbol}
	}
	return resolution{address: addr, frames: frames}
}

// goFrames returns the frames of Go code, and keeps them.
func (b *loadedBinary) goFrames(addr uint64) ([]frame, error) {
	if frames, ok := b.goAddresses[addr]; ok {
		return frames, nil
	}
	found, err := b.goTable.Frames(addr)
	if err != nil {
		return nil, err
	}
	frames := make([]frame, len(found))
	for i, f := range found {
		frames[i] = frame{
			name: b.intern(clean(goName(f.Function))), systemName: b.intern(clean(f.Function)), file: b.intern(clean(f.File)),
			line: int64(f.Line), startLine: int64(f.StartLine),
		}
		b.grow(entryMemory)
	}
	b.goAddresses[addr] = frames
	b.grow(entryMemory)
	return frames, nil
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

// load reads the tables of the binary when they are needed for the first time.
func (b *loadedBinary) load() {
	if b.tablesRead {
		return
	}
	b.tablesRead = true
	b.functions = make(map[uint64][]frame)
	b.goAddresses = make(map[uint64][]frame)
	b.strings = make(map[string]string)
	table, err := b.file.GoTable()
	switch {
	case err == nil:
		b.goTable = table
		b.grow(table.Memory())
	case errors.Is(err, binary.ErrNoGoTable):
	case errors.Is(err, binary.ErrGoTableVersion):
		b.goReason = UnknownGoTable
	default:
		b.goReason = MalformedGoTable
	}
	symbols, err := b.file.Symbols()
	switch {
	case err == nil:
		b.symbols = symbols
		b.grow(symbols.Memory())
	case errors.Is(err, binary.ErrNoSymbols):
		b.symbolsReason = NoSymbols
	default:
		b.symbolsReason = MalformedSymbols
	}
}
