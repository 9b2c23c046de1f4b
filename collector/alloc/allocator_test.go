package alloc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/collector/probesite"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

func openFile(t *testing.T, path string) *binary.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := binary.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// static builds a static program of a compiler, or skips the test.
func static(t *testing.T, compiler string, flags ...string) string {
	t.Helper()
	path, err := exec.LookPath(compiler)
	if err != nil {
		t.Skip("needs " + compiler)
	}
	out := filepath.Join(t.TempDir(), "static")
	build := exec.Command(path, append(flags, "-static", "-o", out, "-")...)
	build.Stdin = strings.NewReader("#include <stdlib.h>\nint main(void) { free(realloc(malloc(1), 2)); return !calloc(1, 2); }")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// stepped are functions in which no instruction is cheap before their arguments are moved to
// other registers.
var stepped = map[string][]string{"mimalloc": {"malloc", "calloc", "realloc"}}

// TestSites: in every allocator that is here the functions that programs call have probes
// that cost no single step, but for a few.
func TestSites(t *testing.T) {
	for name, file := range map[string]func(t *testing.T) string{
		"glibc":        func(*testing.T) string { return "/lib/x86_64-linux-gnu/libc.so.6" },
		"musl":         func(*testing.T) string { return "/lib/ld-musl-x86_64.so.1" },
		"jemalloc":     func(*testing.T) string { return "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2" },
		"tcmalloc":     func(*testing.T) string { return "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4" },
		"mimalloc":     func(*testing.T) string { return "/usr/lib/x86_64-linux-gnu/libmimalloc.so" },
		"static glibc": func(t *testing.T) string { return static(t, "gcc", "-x", "c") },
		"static C++":   func(t *testing.T) string { return static(t, "g++", "-x", "c++") },
		"static musl":  func(t *testing.T) string { return static(t, "musl-gcc", "-x", "c") },
	} {
		t.Run(name, func(t *testing.T) {
			a := &allocator{file: openFile(t, file(t))}
			if err := a.choose(); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, s := range a.sites {
				seen[s.name] = true
				t.Logf("%-40s %v", s.name, s.where)
				if s.where.Price != probesite.Emulated && !slices.Contains(stepped[name], s.name) {
					t.Errorf("the probe at %s is %v", s.name, s.where)
				}
			}
			t.Logf("passed over: %s", strings.Join(a.passed, "; "))
			for _, want := range []string{"malloc", "calloc", "realloc", "free"} {
				if !seen[want] {
					t.Errorf("%s has no probe", want)
				}
			}
		})
	}
	a := &allocator{file: openFile(t, "/bin/true")}
	if err := a.choose(); !errors.Is(err, errNoAllocator) {
		t.Errorf("of a program without an allocator: %v", err)
	}
}
