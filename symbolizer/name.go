package symbolizer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"
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
	if s, err := demangle.ToString(name, demangle.MaxLength(maxDemangledBits)); err == nil && s != "" {
		return s
	}
	return name
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

// clean makes a name from a file safe to store and to print: valid UTF-8,
// without control characters, which could steer the terminal of whoever reads
// the report.
func clean(name string) string {
	plain := true
	for i := 0; i < len(name) && plain; i++ {
		plain = ' ' <= name[i] && name[i] < 0x7f
	}
	if plain {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}
