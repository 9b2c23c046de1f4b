package binary

import (
	"bytes"
	"fmt"
)

// The relocations that mean "the load address plus the addend", by e_machine,
// from the psABI supplements: R_X86_64_RELATIVE, R_AARCH64_RELATIVE,
// R_RISCV_RELATIVE.
var relativeRelocation = map[uint16]uint32{machineX86: 8, machineARM64: 1027, 243: 3}

// relocations calls yield for each relative relocation with an addend, until it
// answers false. 32-bit files keep addends in place, where they need no
// relocation to be read.
func (f *File) relocations(yield func(at, addend uint64) bool) error {
	relative, known := relativeRelocation[f.machine]
	if !known || !f.wide {
		return nil
	}
	const row = 24
	var chunk [1024 * row]byte
	total := uint64(0)
	for _, s := range f.sections {
		if s.kind != sectionRelocationsAddend || s.flags&sectionFlagAlloc == 0 {
			continue
		}
		count := s.size / row
		if total += count; total > maxRelocations {
			return fmt.Errorf("more than %d relocations: %w", maxRelocations, ErrMalformed)
		}
		for at := uint64(0); at < count; {
			n := min(count-at, 1024)
			data := chunk[:n*row]
			if err := f.readInto(data, s.offset+at*row); err != nil {
				return err
			}
			for ; len(data) > 0; data = data[row:] {
				if f.order.Uint64(data[8:]) == uint64(relative) &&
					!yield(f.order.Uint64(data), f.order.Uint64(data[16:])) {
					return nil
				}
			}
			at += n
		}
	}
	return nil
}

// relocationsTo returns the addresses that relative relocations fill with
// target, up to a limit.
func (f *File) relocationsTo(target uint64) ([]uint64, error) {
	var found []uint64
	err := f.relocations(func(at, addend uint64) bool {
		if addend == target {
			found = append(found, at)
		}
		return len(found) < maxModuleCandidates
	})
	return found, err
}

// relocate applies the relative relocations of the words of size pointer at
// addr.
func (f *File) relocate(words []uint64, addr, pointer uint64) error {
	return f.relocations(func(at, addend uint64) bool {
		if at >= addr && (at-addr)/pointer < uint64(len(words)) && (at-addr)%pointer == 0 {
			words[(at-addr)/pointer] = addend
		}
		return true
	})
}

// SymbolValues returns the values in .symtab of the symbols of the names, 0 for
// those that it lacks. The error wraps ErrMalformed or is the reader's.
func (f *File) SymbolValues(names ...string) ([]uint64, error) {
	values := make([]uint64, len(names))
	table, strings, ok := f.symbolTable(sectionSymbolTable)
	if !ok {
		return values, nil
	}
	at, err := f.nameOffsets(strings, names)
	if err != nil || len(at) == 0 {
		return values, err
	}
	row := uint64(16)
	if f.wide {
		row = 24
	}
	var chunk [1024 * 24]byte
	for i, count := uint64(0), min(table.size/row, maxSymbolEntries); i < count; {
		n := min(count-i, 1024)
		data := chunk[:n*row]
		if err := f.readInto(data, table.offset+i*row); err != nil {
			return nil, err
		}
		for ; len(data) > 0; data = data[row:] {
			which, ok := at[f.order.Uint32(data)]
			switch {
			case !ok:
			case f.wide:
				values[which] = f.order.Uint64(data[8:])
			default:
				values[which] = uint64(f.order.Uint32(data[4:]))
			}
		}
		i += n
	}
	return values, nil
}

// nameOffsets finds the offsets of the names, whole strings, in a string table
// and returns which name each is.
func (f *File) nameOffsets(table section, names []string) (map[uint32]int, error) {
	found := make(map[uint32]int)
	if table.size > maxScannedBytes {
		return found, nil
	}
	const overlap = 64 // more than the longest of the names and its two NULs
	var chunk [64 << 10]byte
	for at := uint64(0); at < table.size; at += uint64(len(chunk)) - overlap {
		data := chunk[:min(table.size-at, uint64(len(chunk)))]
		if err := f.readInto(data, table.offset+at); err != nil {
			return nil, err
		}
		for which, name := range names {
			if i := bytes.Index(data, []byte("\x00"+name+"\x00")); i >= 0 {
				found[uint32(at)+uint32(i)+1] = which
			}
		}
	}
	return found, nil
}
