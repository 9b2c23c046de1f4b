package binary

import (
	"fmt"
)

// The words of runtime.moduledata (runtime/symtab.go) up to the ones needed
// here have kept their places from Go 1.20 to 1.26. Slices take three words.
const (
	moduleFuncnameTable = 1
	moduleUnits         = 4
	moduleFiles         = 7
	moduleLines         = 10
	moduleRecords       = 13
	moduleFunctions     = 16
	moduleMinPC         = 20
	moduleMaxPC         = 21
	moduleText          = 22
	moduleEndText       = 23
	moduleGoFunc        = 40

	// moduleWords are read of each candidate, so that go:func.* is found even
	// where a newer runtime has moved it by some words.
	moduleWords     = 64
	moduleAfterText = 24

	// maxModuleCandidates bounds how many places that hold the address of the
	// table are looked at; linkers make one or two.
	maxModuleCandidates = 8
)

// locate finds the two addresses that the table itself does not have since Go
// 1.26: of the code, and of the inline trees (go:func.*). The linker writes
// both into runtime.moduledata, which starts with the address of the table. In
// an executable that was not stripped, symbols have them too; in one before Go
// 1.26, the header has the first.
//
// Whatever the source, an address counts only if what is there looks as it
// must: the code's first and last function lie within one executable segment,
// and the inline trees of a sample of functions are well-formed. So a newer
// runtime with another layout costs inlined frames, not their truth.
func (t *GoTable) locate(h goHeader) error {
	texts, trees := []uint64{}, []uint64{}
	if words, ok := t.file.findModule(h); ok {
		texts = append(texts, words[moduleText])
		trees = append(trees, words[moduleGoFunc])
		trees = append(trees, words[moduleAfterText:]...)
	}
	symbols, err := t.file.SymbolValues("runtime.text", "go:func.*", "go.func.*")
	if err != nil {
		return err
	}
	texts = append(texts, symbols[0], h.textStart)
	trees = append(trees, symbols[1], symbols[2])
	for _, text := range texts {
		if text != 0 && t.codeAt(text) {
			t.text = text
			t.findInlineTrees(trees)
			return nil
		}
	}
	return fmt.Errorf("the address of the code is nowhere to be found: %w", ErrGoTableVersion)
}

// codeAt reports whether the table's functions, if its code begins at text, lie
// within one executable segment.
func (t *GoTable) codeAt(text uint64) bool {
	s, ok := t.file.Executable(text)
	return ok && uint64(t.end) <= s.Filesz-(text-s.Vaddr)
}

// findModule looks for the words of the runtime.moduledata that belongs to the
// table at h: in the section that Go's linker makes for it since 1.26, then in
// all others with data. In a position-independent executable the words may be
// zero in the file and only be said by its relocations.
func (f *File) findModule(h goHeader) ([]uint64, bool) {
	relocated, err := f.relocationsTo(h.addr)
	if err != nil {
		relocated = nil // the words may still be in place
	}
	for _, addr := range relocated {
		if words, ok := f.module(h, addr); ok {
			return words, true
		}
	}
	if s, ok := f.section(".go.module"); ok {
		if words, ok := f.scanModule(h, s); ok {
			return words, true
		}
	}
	scanned := uint64(0)
	for _, s := range f.sections {
		if s.kind == sectionNoBits || s.flags&sectionFlagAlloc == 0 || s.flags&sectionFlagExecute != 0 {
			continue
		}
		if scanned += s.size; scanned > maxScannedBytes {
			break
		}
		if words, ok := f.scanModule(h, s); ok {
			return words, true
		}
	}
	return nil, false
}

// scanModule looks for the address of the table in a section's words.
func (f *File) scanModule(h goHeader, s section) ([]uint64, bool) {
	var chunk [32 << 10]byte
	candidates := 0
	for at := uint64(0); at < s.size; at += uint64(len(chunk)) {
		data := chunk[:min(s.size-at, uint64(len(chunk)))]
		if f.readInto(data, s.offset+at) != nil {
			return nil, false
		}
		for i := uint64(0); i+h.pointer <= uint64(len(data)); i += h.pointer {
			if f.pointer(data[i:]) != h.addr {
				continue
			}
			if candidates++; candidates > maxModuleCandidates {
				return nil, false
			}
			if words, ok := f.module(h, s.addr+at+i); ok {
				return words, true
			}
		}
	}
	return nil, false
}

// module reads the words at addr and reports whether they are the
// runtime.moduledata of the table at h.
func (f *File) module(h goHeader, addr uint64) ([]uint64, bool) {
	data := make([]byte, moduleWords*h.pointer)
	if f.loaded(data, addr) != nil {
		return nil, false
	}
	words := make([]uint64, moduleWords)
	for i := range words {
		words[i] = f.pointer(data[uint64(i)*h.pointer:])
	}
	if f.relocate(words, addr, h.pointer) != nil {
		return nil, false
	}
	for word, offset := range map[int]uint64{
		0: 0, moduleFuncnameTable: h.names, moduleUnits: h.units, moduleFiles: h.files,
		moduleLines: h.lines, moduleRecords: h.record, moduleFunctions: h.record,
	} {
		if words[word] != h.addr+offset {
			return nil, false
		}
	}
	ordered := words[moduleText] <= words[moduleMinPC] && words[moduleMinPC] < words[moduleMaxPC] &&
		words[moduleMaxPC] <= words[moduleEndText]
	return words, ordered && words[moduleFunctions+1] == h.functions+1
}

// findInlineTrees sets where the inline trees are to the first of the addresses
// at which they are well-formed. An executable without any inlined function
// needs none.
func (t *GoTable) findInlineTrees(addresses []uint64) {
	sample, ok := t.inlineSample()
	if !ok {
		return
	}
	t.inlining = len(sample) == 0
	tried := make(map[uint64]bool)
	for _, addr := range addresses {
		if addr == 0 || tried[addr] || len(sample) == 0 {
			continue
		}
		tried[addr] = true
		r, ok := t.file.region(addr)
		if ok && t.wellFormed(r, sample) {
			t.inline, t.inlining = r, true
			return
		}
	}
}

// region returns the part of the file that a loader puts at addr, up to the end
// of its segment.
func (f *File) region(addr uint64) (region, bool) {
	for _, p := range f.programs {
		if p.kind == segmentLoad && addr >= p.vaddr && addr-p.vaddr < p.filesz &&
			p.offset <= f.size && p.filesz <= f.size-p.offset {
			return region{p.offset + (addr - p.vaddr), p.filesz - (addr - p.vaddr)}, true
		}
	}
	return region{}, false
}
