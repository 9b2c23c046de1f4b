package waits

import (
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Namer names the places of stacks that waited for something, or let it go. It is used by
// one goroutine.
type Namer struct{ known lexicon }

// NewNamer knows no function yet.
func NewNamer() *Namer { return &Namer{known: lexicon{}} }

// Stack is a stack that was read.
type Stack struct{ calls []call }

// Read reads a sample's stack.
func (n *Namer) Read(s *profile.Sample) Stack { return Stack{n.known.stack(s)} }

// Known tells whether there is a stack at all.
func (s Stack) Known() bool {
	return len(s.calls) > 0 && !strings.HasPrefix(s.calls[0].name, "[no stack")
}

// Site is the program's function that waited or let go: the innermost one that is neither
// of a lock nor of what asks the system for something.
func (s Stack) Site() string {
	if !s.Known() {
		return "[unknown]"
	}
	for _, c := range s.calls {
		if c.own() && !matchesAny(asking, c.name) {
			return written(c.name)
		}
	}
	return written(site(s.calls))
}

// Above lists the functions outside of the site, each once.
func (s Stack) Above() []string {
	site := slices.IndexFunc(s.calls, func(c call) bool { return c.own() && !matchesAny(asking, c.name) })
	seen, list := map[string]bool{}, []string{}
	for _, c := range s.calls[site+1:] {
		if !seen[c.name] {
			seen[c.name], list = true, append(list, c.name)
		}
	}
	return list
}

// written is the function that somebody wrote: Go's compiler wraps what is deferred, or
// started, in functions of its own.
func written(name string) string {
	for _, wrap := range []string{".deferwrap", ".gowrap"} {
		if at := strings.LastIndex(name, wrap); at > 0 && strings.Trim(name[at+len(wrap):], "0123456789") == "" {
			return name[:at]
		}
	}
	return strings.TrimSuffix(name, "-fm")
}

// Own tells whether any of the program's own functions is on the stack.
func (s Stack) Own() bool { return slices.ContainsFunc(s.calls, call.own) }

// Has tells whether a function is on the stack.
func (s Stack) Has(function string) bool {
	return slices.ContainsFunc(s.calls, func(c call) bool { return c.name == function })
}

// asking are functions of standard libraries that ask the system for a file's contents and
// the like: they say what is waited for, not where in the program.
var asking = []pattern{
	"syscall.*", "os.*", "io.*", "bufio.*", "golang.org/x/sys/unix.*",
	"fsync", "fdatasync", "pread*", "pwrite*", "readv", "writev", "open", "openat", "open64", "msync", "sync_file_range", "fallocate*", "ftruncate*", "unlink*", "rename*",
	"fopen*", "fread*", "fwrite*", "fflush*", "fclose*", "_IO_*", "new_do_write",
}

// Kind is what the stack waited for: a mutex, a condition variable and so on.
func (s Stack) Kind() (string, bool) {
	kind, ok := kindOf(s.calls)
	return kind.kind, ok
}

// Functions lists the functions of user space, the innermost first.
func (s Stack) Functions(most int) []string { return names(s.calls, most) }

// All lists all functions, of which some may be there more than once.
func (s Stack) All() []string {
	list := make([]string, len(s.calls))
	for i, c := range s.calls {
		list[i] = c.name
	}
	return list
}

// Loop tells whether the stack waits in the loop of a thread or goroutine: in one of the
// few functions that it begins with, or in those of main.main, and none of them is called
// as if it wanted something of others.
func (s Stack) Loop() bool {
	const within = 3
	own, main := 0, false
	for _, c := range s.calls {
		if c.own() {
			own++
			if c.errand {
				return false
			}
		}
		main = main || c.name == "main.main"
	}
	return main || own <= within
}
