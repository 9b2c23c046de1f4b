package binary

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

// ErrNoGoTable is what GoTable wraps when the file has no table of Go
// functions: it was not linked by Go.
var ErrNoGoTable = errors.New("no Go function table")

// ErrGoTableVersion is what GoTable wraps when the table of Go functions has a
// layout that this package does not know: Go 1.19 or older, or newer than the
// newest one it was written for.
var ErrGoTableVersion = errors.New("unknown layout of the Go function table")

// The layout of the table, from runtime/symtab.go (pcHeader), runtime/runtime2.go
// (_func), internal/abi/symtab.go (magic, PCDATA and FUNCDATA numbers) and
// cmd/link/internal/ld/pcln.go. It has been the same from Go 1.20 to 1.26 but
// for one field: the header's fourth word was the address that code offsets are
// relative to, and is 0 since 1.26.
const (
	goMagic120 = 0xfffffff1
	goMagic118 = 0xfffffff0
	goMagic116 = 0xfffffffa
	goMagic12  = 0xfffffffb

	goFuncSize        = 44 // _func without the variable part
	goPCDataInline    = 2  // PCDATA_InlTreeIndex
	goFuncDataInline  = 3  // FUNCDATA_InlTree
	goInlinedCallSize = 16 // runtime.inlinedCall
	goNoOffset        = 1<<32 - 1

	maxGoFunctions = 8 << 20
	// maxGoSteps bounds how many steps of line tables one lookup decodes, and
	// goStepsALookup how many they decode on average, so that a table made for
	// it cannot keep the reader busy. Most lookups decode some hundreds of
	// steps; in the largest functions known, generated tables of 10 MB of code,
	// they need a million.
	maxGoSteps     = 4 << 20
	goStepsALookup = 256 << 10
	// maxGoInlined bounds the depth of inlining; the compiler's budget keeps it
	// under 100.
	maxGoInlined = 512
)

// A GoTable is the table by which Go's runtime names its own program counters
// (pclntab). Stripping does not remove it. It keeps 8 bytes a function in
// memory; everything else stays in the file. It is not safe for concurrent use.
type GoTable struct {
	file  *File
	order binary.ByteOrder

	text    uint64 // address that code offsets are relative to
	quantum uint32 // unit of code offsets in line tables
	end     uint32 // offset of the end of the last function

	functions []goFunction

	names, units, files, lines, records region

	inline    region // go:func.*, where inline trees are
	inlining  bool   // inline is known
	remaining int    // steps that lookups may still decode
	window    window

	// Room for what is read at a time.
	record [goFuncSize]byte
	four   [4]byte
	steps  [3][]goStep
}

// A goFunction says where a function begins, relative to GoTable.text, and
// where its record is, relative to GoTable.records.
type goFunction struct {
	entry, record uint32
}

// A region is a part of the file.
type region struct{ offset, size uint64 }

// Len returns the number of functions in the table.
func (t *GoTable) Len() int { return len(t.functions) }

// Memory returns about how many bytes the table takes, for a cache's budget.
func (t *GoTable) Memory() int { return len(t.functions)*8 + windowSize + 512 }

// Inlining reports whether the file's inline trees were found, so that frames
// include inlined functions. Where they were not, inlined code has the name of
// the function that it was inlined into, and no line.
func (t *GoTable) Inlining() bool { return t.inlining }

// A goHeader is a pcHeader whose offsets have been checked against each other.
type goHeader struct {
	at                                 uint64 // offset in the file
	end                                uint64 // end of what holds it
	addr                               uint64 // address
	pointer                            uint64 // bytes of a pointer
	quantum                            uint32
	functions, textStart               uint64
	names, units, files, lines, record uint64 // offsets from at, ascending
}

// GoTable reads the file's table of Go functions. The error wraps ErrNoGoTable,
// ErrGoTableVersion, ErrMalformed, or what the reader answered.
func (f *File) GoTable() (*GoTable, error) {
	h, err := f.findGoHeader()
	if err != nil {
		return nil, fmt.Errorf("looking for the Go function table: %w", err)
	}
	t := &GoTable{file: f, order: f.order, quantum: h.quantum, remaining: maxGoSteps, window: window{block: windowBlock}}
	t.names = region{h.at + h.names, h.units - h.names}
	t.units = region{h.at + h.units, h.files - h.units}
	t.files = region{h.at + h.files, h.lines - h.files}
	t.lines = region{h.at + h.lines, h.record - h.lines}
	t.records = region{h.at + h.record, h.end - h.at - h.record}
	if err := t.readFunctions(h); err != nil {
		return nil, fmt.Errorf("reading the Go function table: %w", err)
	}
	if err := t.locate(h); err != nil {
		return nil, fmt.Errorf("locating Go's code: %w", err)
	}
	return t, nil
}

// readFunctions reads the array of (entry, record) pairs at the beginning of
// the records, which an offset of the end of the last function closes.
func (t *GoTable) readFunctions(h goHeader) error {
	if h.functions == 0 || h.functions > maxGoFunctions || h.functions*8+4 > t.records.size {
		return fmt.Errorf("%d functions in %d bytes: %w", h.functions, t.records.size, ErrMalformed)
	}
	t.functions = make([]goFunction, h.functions)
	var chunk [8192]byte
	for i := 0; i < len(t.functions); {
		data := chunk[:min(len(chunk), (len(t.functions)-i)*8)]
		if err := t.file.readInto(data, t.records.offset+uint64(i)*8); err != nil {
			return err
		}
		for ; len(data) > 0; data, i = data[8:], i+1 {
			t.functions[i] = goFunction{t.order.Uint32(data), t.order.Uint32(data[4:])}
			if i > 0 && t.functions[i].entry < t.functions[i-1].entry {
				return fmt.Errorf("function %d begins before its predecessor: %w", i, ErrMalformed)
			}
		}
	}
	last := chunk[:4]
	if err := t.file.readInto(last, t.records.offset+h.functions*8); err != nil {
		return err
	}
	t.end = t.order.Uint32(last)
	if t.end < t.functions[len(t.functions)-1].entry {
		return fmt.Errorf("the code ends before its last function: %w", ErrMalformed)
	}
	return nil
}

// Covers reports whether the ELF virtual address addr lies in the code that the
// table describes. In an executable that also has C code, that code lies
// elsewhere.
func (t *GoTable) Covers(addr uint64) bool {
	return addr >= t.text && addr-t.text < uint64(t.end) && addr-t.text >= uint64(t.functions[0].entry)
}

// find returns the index of the last function that begins at or before off.
func (t *GoTable) find(off uint32) int {
	return sort.Search(len(t.functions), func(i int) bool { return t.functions[i].entry > off }) - 1
}
