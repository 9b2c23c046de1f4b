package unwind

import (
	"errors"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// ErrNoTable is what Compile wraps when a binary says nothing about its frames.
var ErrNoTable = errors.New("no unwind information")

// ErrUnsupported is what Compile wraps for machines other than x86-64 and
// little-endian arm64.
var ErrUnsupported = errors.New("unwinding code of this machine is not supported")

// Limits bound what Compile may take; zero fields stand for the defaults.
type Limits struct {
	// Rows is how many rows a table may have, 8 bytes each. The default is
	// 8,388,608: several times what the largest browsers need.
	Rows int
}

// Compile makes the table of a binary. The error wraps ErrNoTable,
// ErrUnsupported, binary.ErrMalformed, or what the file's reader answered.
func Compile(file *binary.File, limits Limits) (*Table, error) {
	return nil, ErrNoTable
}
