package alloc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/probesite"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// errNoAllocator says that a file defines no allocator.
var errNoAllocator = errors.New("it has no function malloc with a known size")

// allocator is what is known of a file that defines one: the same for all its processes.
type allocator struct {
	file  *binary.File
	path  string // that leads to the file while it is open
	sites []site
	// passed are functions without a probe, and why they need none.
	passed []string
}

// newAllocator looks at a file. The error wraps errNoAllocator where there is nothing to say.
func newAllocator(b *process.Binary) (*allocator, error) {
	file, err := b.File()
	if err != nil {
		return nil, err
	}
	a := &allocator{file: file}
	if err := a.choose(); err != nil {
		return nil, err
	}
	if a.path, err = b.ProbePath(); err != nil {
		return nil, err
	}
	return a, nil
}

// Places are the functions of a file that have probes, by name, and where in the file those
// are; an error if it defines no allocator.
func Places(b *process.Binary) (map[string]uint64, error) {
	a, err := newAllocator(b)
	if err != nil {
		return nil, err
	}
	places := map[string]uint64{}
	for _, s := range a.sites {
		places[s.name] = s.offset
	}
	return places, nil
}

// choose finds the functions, and where to probe them.
func (a *allocator) choose() error {
	found, err := a.file.FindFunctions(slices.Sorted(maps.Keys(functions))...)
	if err != nil {
		return err
	}
	for _, name := range required {
		if _, ok := found[name]; !ok {
			return errNoAllocator
		}
	}
	stubs, err := a.file.Stubs()
	if err != nil {
		return fmt.Errorf("looking for calls between the allocator's functions: %w", err)
	}
	for _, name := range slices.SortedFunc(maps.Keys(found), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)) // of aliases the plain one
	}) {
		f := found[name]
		if slices.ContainsFunc(a.sites, func(s site) bool { return s.start == f.Start }) {
			continue
		}
		code, err := a.file.ReadCode(f.Start, f.End)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		kind, reason := a.role(name, targets(found, stubs, probesite.Exits(runtime.GOARCH, code, f.Start)))
		if reason != "" {
			a.passed = append(a.passed, name+": "+reason)
			continue
		}
		if err := a.probe(site{name: name, function: kind, start: f.Start, end: f.End}, code); err != nil {
			return err
		}
	}
	return nil
}

// leads says to which of the functions another one goes.
type leads struct{ jumps, calls []string }

func targets(found map[string]binary.Function, stubs []binary.Stub, exits []probesite.Exit) leads {
	var l leads
	for _, e := range exits {
		for name, f := range found {
			if f.Start != e.To && !slices.ContainsFunc(stubs, func(s binary.Stub) bool {
				plain, _, _ := strings.Cut(s.Name, "@")
				return s.Low <= e.To && e.To < s.High && plain == name
			}) {
				continue
			}
			if e.Call {
				l.calls = append(l.calls, name)
			} else {
				l.jumps = append(l.jumps, name)
			}
		}
	}
	return l
}

// role is how a function is looked at that leads to others; a reason says that it need not be.
// Those that it calls are known by who called them, those that it jumps to are not.
func (a *allocator) role(name string, to leads) (function bpf.AllocAllocFunction, reason string) {
	function = functions[name]
	is := func(kinds ...bpf.AllocAllocFunction) func(string) bool {
		return func(other string) bool { return slices.Contains(kinds, functions[other]) }
	}
	plain := is(bpf.AllocAllocFunctionALLOC_MALLOC)
	switch function {
	case bpf.AllocAllocFunctionALLOC_FREE:
		if slices.ContainsFunc(append(to.jumps, to.calls...), is(function)) {
			return function, "goes on in another one that frees"
		}
	case bpf.AllocAllocFunctionALLOC_REALLOC:
		if slices.ContainsFunc(to.jumps, plain) {
			return bpf.AllocAllocFunctionALLOC_REALLOC_OR_MALLOC, ""
		}
	case bpf.AllocAllocFunctionALLOC_MALLOC:
		if strings.HasPrefix(name, "_Zn") && !strings.Contains(name, "align_val_t") && slices.ContainsFunc(to.calls, plain) {
			return function, "calls another one that allocates as much"
		}
		fallthrough
	default:
		if slices.ContainsFunc(to.jumps, is(bpf.AllocAllocFunctionALLOC_MALLOC, bpf.AllocAllocFunctionALLOC_ALIGNED, bpf.AllocAllocFunctionALLOC_CALLOC)) {
			return function, "goes on in another one that allocates"
		}
	}
	return function, ""
}

// probe chooses the byte of a function.
func (a *allocator) probe(s site, code []byte) error {
	look := probesite.Function{Code: code, Keep: kept(runtime.GOARCH, s.function), EveryCall: !s.frees()} // nobody misses free(NULL)
	var err error
	if s.where, err = probesite.Choose(runtime.GOARCH, look); err != nil {
		return fmt.Errorf("probing %s: %w", s.name, err)
	}
	offset, _ := a.file.FileOffset(s.start)
	s.offset = offset + uint64(s.where.Offset)
	a.sites = append(a.sites, s)
	return nil
}

// bias is what to add to the file's addresses to get those of the process's mapping; false if
// the mapping does not have this function.
func (a *allocator) bias(s site, m process.Mapping) (uint64, bool) {
	if s.offset < m.Offset || s.offset-m.Offset >= m.End-m.Start {
		return 0, false
	}
	return m.Start + (s.offset - m.Offset) - (s.start + uint64(s.where.Offset)), true
}
