package debuginfo

import (
	"iter"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// Options say what to take into account beside the binary itself. The zero value
// is the binary alone.
type Options struct {
	// Debug is the separate file with the binary's debug information, opened with
	// binary.OpenDebug, or nil.
	Debug *binary.File
	// MaxMemory bounds the bytes that decompressed sections and parsed units take
	// at one time, about; 0 means 256 MiB. What does not fit has no names.
	MaxMemory int
}

// A Table is what is known about the code of one binary. It keeps the files of
// which it was opened, reads from them when asked, and is not safe for concurrent
// use.
type Table struct {
	code     *binary.File
	golang   *binary.GoTable // nil if the binary has none
	symbols  *binary.Symbols // nil if the binary has none
	problems []error
}

// Open reads the headers of whatever the binary has. It never fails as a whole: a
// binary without any function has a Table that knows none, and what could not be
// read is among its Problems.
func Open(code *binary.File, o Options) *Table {
	t := &Table{code: code}
	return t
}

// Problems tells what could not be read of the binary so far, one error a source:
// they wrap the sentinels of package binary and of the DWARF reader, or what a
// file's reader answered. That a source does not exist is no problem.
func (t *Table) Problems() []error { return t.problems }

// Memory returns about how many bytes the table takes now, for a cache's budget.
func (t *Table) Memory() int { return 0 }

// Frames returns the functions at the ELF virtual address addr, innermost first,
// and none if no function covers it. The slice may be shared between calls and
// must not be changed. The error is what kept the source that covers the address
// from answering.
func (t *Table) Frames(addr uint64) ([]Frame, error) { return nil, nil }

// Ranges yields all code that has a function, in ranges that do not overlap, so
// that Frames of any address in a range are the range's. They ascend within one
// unit of compilation but not across units. An error says that a part of the
// binary could not be read and is left out; the rest follows.
func (t *Table) Ranges() iter.Seq2[Range, error] {
	return func(func(Range, error) bool) {}
}
