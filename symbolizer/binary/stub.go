package binary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// The relocations that fill a slot of the global offset table with a function's
// address, by e_machine, from the psABI supplements: R_X86_64_JUMP_SLOT, _GLOB_DAT
// and _IRELATIVE, and those of R_AARCH64.
var slotRelocations = map[uint16]slotKinds{
	machineX86: {7, 6, 37}, machineARM64: {1026, 1025, 1032},
}

// slotKinds are the relocations of one machine.
type slotKinds struct{ jump, data, indirect uint32 }

const (
	machineX86   = 62
	machineARM64 = 183

	maxStubs = 1 << 20
	// maxStub is the longest stub: 16 bytes on x86-64, on arm64 16, or 24 with
	// branch protection.
	maxStub      = 24
	shortestStub = 8
	usualStub    = 16
)

// A Stub is a piece of the procedure linkage table: code that jumps to a function
// of another file.
type Stub struct {
	Low, High uint64 // ELF virtual addresses, High exclusive
	Name      string // of the function, as the symbol table has it; "" where Resolver says it
	// Resolver is the address of this file's own function that chooses, when the
	// program starts, what the stub jumps to. It has the name of what it chooses for.
	Resolver uint64
}

// Stubs finds the stubs of the sections .plt, .plt.sec and .plt.got, in order of
// address. Linkers lay them out differently, with different first entries, so each
// is recognized by its code: it jumps to what a slot of the global offset table has,
// and the slot's relocation has the function's name. What does not look like that
// is left out. Files for other machines than x86-64 and arm64 have none.
//
// The error wraps ErrMalformed or is the reader's.
func (f *File) Stubs() ([]Stub, error) {
	kinds, known := slotRelocations[f.machine]
	if !known || !f.wide {
		return nil, nil
	}
	found, err := f.jumps()
	if err != nil {
		return nil, fmt.Errorf("reading the procedure linkage table: %w", err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	if err := f.fillSlots(found, kinds); err != nil {
		return nil, fmt.Errorf("reading the procedure linkage table: %w", err)
	}
	stubs := make([]Stub, 0, len(found))
	for _, j := range found {
		if j.filled {
			stubs = append(stubs, j.Stub)
		}
	}
	slices.SortStableFunc(stubs, func(a, b Stub) int { return cmp.Compare(a.Low, b.Low) })
	return stubs, nil
}

// A jump is code that looks like a stub.
type jump struct {
	Stub
	slot   uint64 // its address
	filled bool   // a relocation fills it
}

// jumps finds the code that looks like stubs, in order of their slots.
func (f *File) jumps() ([]jump, error) {
	var found []jump
	for _, s := range f.sections {
		if s.kind == sectionNoBits || s.flags&sectionFlagExecute == 0 ||
			s.name != ".plt" && s.name != ".plt.sec" && s.name != ".plt.got" {
			continue
		}
		if s.size > maxStubs*maxStub {
			return nil, fmt.Errorf("section %s of %d bytes: %w", s.name, s.size, ErrMalformed)
		}
		code, err := f.read(s.offset, s.size)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", s.name, err)
		}
		find := findStubsX86
		if f.machine == machineARM64 {
			find = findStubsARM64
		}
		if len(found)+len(code)/shortestStub > maxStubs {
			return nil, fmt.Errorf("more than %d stubs: %w", maxStubs, ErrMalformed)
		}
		found = slices.Grow(found, len(code)/usualStub)
		find(code, s, func(low, high, slot uint64) {
			found = append(found, jump{Stub: Stub{Low: s.addr + low, High: s.addr + high}, slot: slot})
		})
	}
	slices.SortStableFunc(found, func(a, b jump) int { return cmp.Compare(a.slot, b.slot) })
	return found, nil
}

// fillSlots finds out what the dynamic linker puts into the slots. Most relocations of a
// large library are of other data.
func (f *File) fillSlots(found []jump, kinds slotKinds) error {
	symbols, names, _ := f.symbolTable(sectionDynamicSymbolTable)
	first, last := found[0].slot, found[len(found)-1].slot
	fill := func(at, info, addend uint64) error {
		kind := uint32(info)
		if kind != kinds.jump && kind != kinds.data && kind != kinds.indirect {
			return nil
		}
		i, ok := slices.BinarySearchFunc(found, at, func(j jump, at uint64) int { return cmp.Compare(j.slot, at) })
		if !ok {
			return nil
		}
		var name string
		var resolver uint64
		if kind == kinds.indirect {
			resolver = addend
		} else {
			var err error
			if name, err = f.symbolName(symbols, names, info>>32); err != nil {
				return err
			}
		}
		if name == "" && resolver == 0 {
			return nil
		}
		found[i].Name, found[i].Resolver, found[i].filled = name, resolver, true
		return nil
	}
	for _, s := range f.sections {
		if s.kind != sectionRelocationsAddend || s.flags&sectionFlagAlloc == 0 {
			continue
		}
		if err := f.eachRelocation(s, first, last, fill); err != nil {
			return err
		}
	}
	for i := range found[1:] {
		if found[i+1].slot == found[i].slot {
			found[i+1].Name, found[i+1].Resolver, found[i+1].filled = found[i].Name, found[i].Resolver, found[i].filled
		}
	}
	return nil
}

// eachRelocation reads the rows of a table of relocations with addends of a 64-bit
// file, and yields those of the addresses from first to last.
func (f *File) eachRelocation(s section, first, last uint64, yield func(at, info, addend uint64) error) error {
	const row = 24
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	count := s.size / row
	if count > maxRelocations {
		return fmt.Errorf("more than %d relocations: %w", maxRelocations, ErrMalformed)
	}
	for at := uint64(0); at < count; {
		n := min(count-at, chunkSize/row)
		data := chunk[:n*row]
		if err := f.readInto(data, s.offset+at*row); err != nil {
			return err
		}
		for ; len(data) > 0; data = data[row:] {
			to := f.order.Uint64(data)
			if to < first || to > last {
				continue // most are of other data
			}
			if err := yield(to, f.order.Uint64(data[8:]), f.order.Uint64(data[16:])); err != nil {
				return err
			}
		}
		at += n
	}
	return nil
}

// chunks are buffers for parts of tables, which one file after the other takes.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

const chunkSize = 24 << 10

// symbolName returns the name of a row of a symbol table of a 64-bit file.
func (f *File) symbolName(symbols, names section, index uint64) (string, error) {
	const row = 24
	if symbols.size < row || index > symbols.size/row-1 {
		return "", nil
	}
	var data [4]byte
	if err := f.readInto(data[:], symbols.offset+index*row); err != nil {
		return "", err
	}
	return f.stringAt(names, uint64(f.order.Uint32(data[:])))
}

// findStubsX86 finds stubs of 16 or 8 bytes. Each has one jump through a slot, after
// nothing, endbr64, or the prefix that once checked bounds:
//
//	[f3 0f 1e fa] [f2] ff 25 <offset of the slot from the end of the jump>
func findStubsX86(code []byte, s section, yield func(low, high, slot uint64)) {
	size := uint64(16)
	if s.entrySize == 8 || s.entrySize == 16 {
		size = s.entrySize
	}
	for low := uint64(0); low+size <= uint64(len(code)); low += size {
		entry, at := code[low:low+size], uint64(0)
		if strings.HasPrefix(string(entry), "\xf3\x0f\x1e\xfa") {
			at = 4
		}
		if at < size && entry[at] == 0xf2 {
			at++
		}
		if at+6 > size || entry[at] != 0xff || entry[at+1] != 0x25 {
			continue
		}
		offset := uint64(int64(int32(le32(entry[at+2:]))))
		yield(low, low+size, s.addr+low+at+6+offset)
	}
}

// findStubsARM64 finds stubs of four instructions, perhaps after a landing pad
// (bti c), and with what pads them:
//
//	adrp x16, page; ldr x17, [x16, #n]; add x16, x16, #n; br x17 or autia1716; br x17
//
// Encodings: Arm ARM, C6.2. Instructions are little-endian whatever the data is.
func findStubsARM64(code []byte, s section, yield func(low, high, slot uint64)) {
	const (
		bti, nop, autia = 0xd503245f, 0xd503201f, 0xd503219f
		branch          = 0xd61f0220
	)
	for low := uint64(0); low+16 <= uint64(len(code)); low += 4 {
		at := low
		word := func(i uint64) uint32 {
			if i+4 > uint64(len(code)) {
				return 0
			}
			return le32(code[i:])
		}
		if word(at) == bti {
			at += 4
		}
		adrp, ldr, add := word(at), word(at+4), word(at+8)
		end := at + 12
		if word(end) == autia {
			end += 4
		}
		if adrp&0x9f00001f != 0x90000010 || ldr&0xffc003ff != 0xf9400211 || add&0xffc003ff != 0x91000210 || word(end) != branch {
			continue
		}
		for end += 4; word(end) == nop && end-low < maxStub; end += 4 {
		}
		pages := int64(int32((adrp>>5&0x7ffff)<<2|adrp>>29&3)<<11) >> 11
		slot := (s.addr+at)&^0xfff + uint64(pages<<12) + uint64(ldr>>10&0xfff)*8
		yield(low, end, slot)
		low = end - 4
	}
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
