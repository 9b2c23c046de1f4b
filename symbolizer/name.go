package symbolizer

import (
	"strings"
	"sync"

	"github.com/ianlancetaylor/demangle"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
	"github.com/narrows-profiler/narrows/symbolizer/mangled"
)

const (
	// maxMangled bounds the names that are demangled: the demangler's work can
	// grow faster than its input. Longer names stay as they are.
	maxMangled = 4 << 10
	// maxDemangledBits bounds what comes out, as a power of two: back
	// references let a short name stand for an enormous one.
	maxDemangledBits = 14
)

// demangled returns the name of an ELF symbol for people: without the version
// that the GNU linker may append (name@VERSION, name@@VERSION), and demangled if
// it is a C++ or Rust name, of either of Rust's manglings. What cannot be
// demangled stays as it is.
func demangled(name string) string {
	if base, _, found := strings.Cut(name, "@"); found && base != "" {
		name = base
	}
	if len(name) > maxMangled {
		return name
	}
	if !strings.HasPrefix(name, "_Z") && !strings.HasPrefix(name, "__Z") &&
		!strings.HasPrefix(name, "_R") && !strings.HasPrefix(name, "_GLOBAL_") {
		return name
	}
	if s, ok := readable(name); ok {
		return s
	}
	if s, err := demangle.ToString(name, demangle.MaxLength(maxDemangledBits)); err == nil && s != "" {
		return s
	}
	return name
}

// A reading is a mangled.Reader and room for what it answers.
type reading struct {
	mangled.Reader
	text []byte
}

var readings = sync.Pool{New: func() any { return new(reading) }}

// readable demangles the common forms of names, which takes a tenth of the time.
func readable(name string) (string, bool) {
	r := readings.Get().(*reading)
	defer readings.Put(r)
	var ok bool
	if r.text, ok = r.Append(r.text[:0], name); !ok {
		return "", false
	}
	return string(r.text), true
}

// goName returns the name of a Go function as Go's own tracebacks and profiles
// print it: type arguments shown as [...] (runtime/traceback.go,
// funcNamePiecesForPrint).
func goName(name string) string {
	open := strings.IndexByte(name, '[')
	end := strings.LastIndexByte(name, ']')
	if open < 0 || end <= open {
		return name
	}
	return name[:open] + "[...]" + name[end+1:]
}

// forPeople returns the name of a function for people, made of the one that its
// source has, which is safe to print.
func forPeople(system string, source debuginfo.Source) string {
	if source == debuginfo.GoTable || source == debuginfo.DWARF && strings.Contains(system, "[go.shape.") {
		return goName(system)
	}
	return clean(demangled(system))
}

// clean makes a name from a file safe to store and to print.
func clean(name string) string { return binary.Printable(name) }
