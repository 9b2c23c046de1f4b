package debuginfo

import "github.com/narrows-profiler/narrows/symbolizer/binary"

// The shapes of answers, shared by all sources.
type (
	Source = binary.Source
	Frame  = binary.Frame
	Scope  = binary.Scope
	Range  = binary.Range
)

// The sources, in the order in which they are asked.
const (
	GoTable = binary.FromGoTable
	DWARF   = binary.FromDWARF
	Symbol  = binary.FromSymbol
	Stub    = binary.FromStub
)
