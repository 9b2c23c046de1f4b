package binary

import (
	"errors"
	"fmt"
	"io"
)

// ErrOtherBinary is what OpenDebug wraps when the file is not the debug file of
// the binary that it was opened for.
var ErrOtherBinary = errors.New("debug file of another binary")

// OpenDebug reads the headers of a file with the symbols or the debug information
// of code, as debug packages and .gnu_debugdata have it. Such a file has section
// headers for the code but not the code itself, so the segments are those of code.
//
// A file whose build ID is not code's is refused with ErrOtherBinary. Where it has
// none, as .gnu_debugdata, whoever found it must know that it belongs to code. The
// error may also be one of Open.
func OpenDebug(r io.ReaderAt, size int64, code *File) (*File, error) {
	f, err := Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("opening a debug file: %w", err)
	}
	if f.machine != code.machine || f.wide != code.wide || f.order != code.order {
		return nil, fmt.Errorf("opening a debug file: it is of another machine: %w", ErrOtherBinary)
	}
	if f.buildIDs.gnu != "" && f.buildIDs.gnu != code.buildIDs.gnu {
		return nil, fmt.Errorf("opening a debug file: it has build ID %s: %w", f.buildIDs.gnu, ErrOtherBinary)
	}
	f.programs = code.programs
	return f, nil
}
