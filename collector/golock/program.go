package golock

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/narrows-profiler/narrows/collector/probesite"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// The functions of the runtime that matter. A goroutine that waits calls the first; who
// ends its wait, the second.
const (
	parkFunction    = "runtime.gopark"
	readyFunction   = "runtime.ready"
	acquireFunction = "runtime.semacquire1"
	reasonFunction  = "runtime.waitReason.String"
)

// errNotGo says that a file is no Go program.
var errNotGo = errors.New("not a Go program")

// kept are the registers that a probe needs as the caller left them: the arguments, the
// goroutine, the frame pointer, and the stack pointer (internal/abi of Go 1.17).
var kept = map[string][]string{
	"amd64": {"rax", "rbx", "rcx", "r14", "rbp", "rsp"},
	"arm64": {"x0", "x1", "x2", "x28", "x29", "x30", "sp"},
}

// program is what is known of an executable file: the same for all its processes.
type program struct {
	file        *binary.File
	path        string // that leads to the file while it is open
	park, ready place
	// acquire is where semacquire1 is, empty if nowhere.
	acquire binary.GoSpan
	// tables are where the names of the wait reasons may be.
	tables []uint64
	// names is for the one goroutine that resolves stacks.
	names *binary.GoTable
}

// place is where a probe goes.
type place struct {
	entry  uint64 // ELF address of the function
	offset uint64 // of the probed byte in the file
	site   probesite.Site
}

// newProgram looks at an executable. The error wraps errNotGo where there is nothing to say.
func newProgram(b *process.Binary) (*program, error) {
	file, err := b.File()
	if err != nil {
		return nil, err
	}
	table, err := file.GoTable()
	if errors.Is(err, binary.ErrNoGoTable) {
		return nil, errNotGo
	}
	if err != nil {
		return nil, err
	}
	spans, err := table.Find(parkFunction, readyFunction, acquireFunction, reasonFunction)
	if err != nil {
		return nil, err
	}
	p := &program{file: file, acquire: spans[acquireFunction], names: table}
	if p.path, err = b.ProbePath(); err != nil {
		return nil, err
	}
	if p.park, err = p.place(spans, parkFunction); err != nil {
		return nil, err
	}
	if p.ready, err = p.place(spans, readyFunction); err != nil {
		return nil, err
	}
	reasons, ok := spans[reasonFunction]
	if !ok {
		return nil, fmt.Errorf("%s is not in the program", reasonFunction)
	}
	code, err := file.ReadCode(reasons.Entry, reasons.End)
	if err != nil {
		return nil, err
	}
	p.tables = addresses(runtime.GOARCH, code, reasons.Entry)
	return p, nil
}

func (p *program) place(spans map[string]binary.GoSpan, name string) (place, error) {
	span, ok := spans[name]
	if !ok {
		return place{}, fmt.Errorf("%s is not in the program", name)
	}
	code, err := p.file.ReadCode(span.Entry, span.End)
	if err != nil {
		return place{}, fmt.Errorf("reading %s: %w", name, err)
	}
	site, err := probesite.Choose(runtime.GOARCH, probesite.Function{Code: code, Keep: kept[runtime.GOARCH], EveryCall: true})
	if err != nil {
		return place{}, fmt.Errorf("probing %s: %w", name, err)
	}
	offset, _ := p.file.FileOffset(span.Entry)
	return place{entry: span.Entry, offset: offset + uint64(site.Offset), site: site}, nil
}

// sameFile tells whether two files have the same code. A file that was mapped before the
// recording and again later is known twice.
func sameFile(a, b *binary.File) bool {
	return a == b || a.BuildID() != "" && a.BuildID() == b.BuildID()
}

// mapped is the one of the process's mappings of the file that has its code; false if none has.
func (p *program) mapped(mappings []process.Mapping) (process.Mapping, bool) {
	for _, m := range mappings {
		if p.park.offset >= m.Offset && p.park.offset-m.Offset < m.End-m.Start {
			if file, err := m.Binary.File(); err == nil && sameFile(file, p.file) {
				return m, true
			}
		}
	}
	return process.Mapping{}, false
}

// bias is what to add to the file's addresses to get the process's.
func (p *program) bias(m process.Mapping) uint64 {
	return m.Start + (p.park.offset - uint64(p.park.site.Offset) - m.Offset) - p.park.entry
}

// Function is the function that has the code at an offset in the file, as the linker calls
// it; "" if that is not known.
func (p *program) function(offset uint64) string {
	segment, ok := p.file.Segment(offset)
	if !ok {
		return ""
	}
	frames, err := p.names.Frames(segment.Address(offset))
	if err != nil || len(frames) == 0 {
		return ""
	}
	return frames[len(frames)-1].Function
}
