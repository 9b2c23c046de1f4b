package goheap

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// ErrNotGo says that a process runs no program that Go 1.20 or later linked.
var ErrNotGo = errors.New("not a Go program")

// ErrNotProfiled says that a program cannot have a heap profile.
var ErrNotProfiled = errors.New("the program was linked without memory profiling, as those are that have neither runtime/pprof nor net/http/pprof")

// ErrNotFound says that the program may have a heap profile, but that it is not certain
// where.
var ErrNotFound = errors.New("where the Go runtime keeps its heap profile was not found")

// variables are the ELF addresses of what the runtime keeps its profile in.
type variables struct{ buckets, cycle, rate uint64 }

// askFunctions are the functions that give the profile out, of Go since 1.23 and of older
// ones. The linker leaves the one that the version has away, and turns profiling off, if
// nobody can call it (cmd/link/internal/ld/lib.go, disableMemoryProfiling).
var askFunctions = []string{"runtime.memProfileInternal", "runtime.MemProfile"}

// clue is a function that uses a variable, the first of these that is in the program, and
// how.
type clue struct {
	functions []string
	use       use
}

// clues say which functions use each variable in some way, and no other variable of
// theirs in the same. They are in src/runtime, the first three groups in mprof.go:
// mProf_FlushLocked loads mbuckets and nothing else, and so does what gives out the
// profile, among others; mProf_Free and mProf_Malloc load mProfCycle. profilealloc
// (malloc.go) loads MemProfileRate, and mcache0 in some programs' first moments;
// schedinit (proc.go) sets MemProfileRate if disableMemoryProfiling is set.
var clues = struct{ buckets, cycle, rate []clue }{
	buckets: []clue{{[]string{"runtime.mProf_FlushLocked"}, load8}, {askFunctions, load8}},
	cycle:   []clue{{[]string{"runtime.mProf_Free"}, load4}, {[]string{"runtime.mProf_Malloc"}, load4}},
	rate:    []clue{{[]string{"runtime.profilealloc"}, load8}, {[]string{"runtime.schedinit"}, store8}},
}

// findFunctions says where the functions are by which the variables are found.
func findFunctions(table *binary.GoTable) (map[string]binary.GoSpan, error) {
	var names []string
	for _, c := range slices.Concat(clues.buckets, clues.cycle, clues.rate) {
		names = append(names, c.functions...)
	}
	return table.Find(names...)
}

// locate finds the variables: by symbols, or, where they were stripped, in the code
// that uses them.
func locate(file *binary.File, table *binary.GoTable) (variables, error) {
	spans, err := findFunctions(table)
	if err != nil {
		return variables{}, err
	}
	if _, ok := present(spans, askFunctions); !ok {
		return variables{}, ErrNotProfiled
	}
	v, err := bySymbols(file)
	if err != nil || v != (variables{}) {
		return v, err
	}
	return byCode(file, spans)
}

// bySymbols is what the symbol table says; nothing if it does not say all.
func bySymbols(file *binary.File) (variables, error) {
	values, err := file.SymbolValues("runtime.mbuckets", "runtime.mProfCycle", "runtime.MemProfileRate")
	if err != nil {
		return variables{}, err
	}
	v := variables{values[0], values[1], values[2]}
	if !file.Writable(v.buckets, 8) || !file.Writable(v.cycle, 4) || !file.Writable(v.rate, 8) {
		return variables{}, nil
	}
	return v, nil
}

// byCode finds each variable as the only one that all functions use in the way they do.
func byCode(file *binary.File, spans map[string]binary.GoSpan) (v variables, err error) {
	for _, sought := range []struct {
		name  string
		clues []clue
		size  uint64
		found *uint64
	}{
		{"runtime.mbuckets", clues.buckets, 8, &v.buckets},
		{"runtime.mProfCycle", clues.cycle, 4, &v.cycle},
		{"runtime.MemProfileRate", clues.rate, 8, &v.rate},
	} {
		common, err := commonUse(file, spans, sought.clues)
		if err != nil {
			return variables{}, fmt.Errorf("looking for %s: %w", sought.name, err)
		}
		var candidates []uint64
		for at := range common {
			if at%sought.size == 0 && file.Writable(at, sought.size) {
				candidates = append(candidates, at)
			}
		}
		if len(candidates) != 1 {
			return variables{}, fmt.Errorf("%w: %s may be at %#x", ErrNotFound, sought.name, candidates)
		}
		*sought.found = candidates[0]
	}
	return v, nil
}

// commonUse are the addresses that all clues lead to. All have to be there: one alone may
// lead to something else in a version that nobody has looked at.
func commonUse(file *binary.File, spans map[string]binary.GoSpan, clues []clue) (map[uint64]bool, error) {
	var common map[uint64]bool
	for _, c := range clues {
		span, ok := present(spans, c.functions)
		if !ok {
			return nil, fmt.Errorf("%w: %s is not in the program", ErrNotFound, strings.Join(c.functions, " or "))
		}
		code, err := file.ReadCode(span.Entry, span.End)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", c.functions[0], err)
		}
		used := uses(file.Machine(), code, span.Entry, c.use)
		if common != nil {
			maps.DeleteFunc(used, func(at uint64, _ bool) bool { return !common[at] })
		}
		common = used
	}
	return common, nil
}

// present is the first of the functions that is in the program.
func present(spans map[string]binary.GoSpan, names []string) (binary.GoSpan, bool) {
	for _, name := range names {
		if span, ok := spans[name]; ok {
			return span, true
		}
	}
	return binary.GoSpan{}, false
}
