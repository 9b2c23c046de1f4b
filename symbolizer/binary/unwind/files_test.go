package unwind_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// openELF opens an ELF file by path, as the privileged side would.
func openELF(t testing.TB, path string) (*binary.File, error) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return binary.Open(file, info.Size())
}

// compileFile makes the table of a file.
func compileFile(t testing.TB, path string) *unwind.Table {
	t.Helper()
	file, err := openELF(t, path)
	if err != nil {
		t.Fatalf("opening %s: %v", path, err)
	}
	table, err := unwind.Compile(file, unwind.Limits{})
	if err != nil {
		t.Fatalf("compiling %s: %v", path, err)
	}
	return table
}

// systemFiles returns those of a few files that this host has, resolved.
func systemFiles(patterns ...string) []string {
	var found []string
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern)
		for _, m := range matches {
			if real, err := filepath.EvalSymlinks(m); err == nil && isELF(real) {
				found = append(found, real)
				break
			}
		}
	}
	return found
}

// tool returns the path of a program, or skips the test.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// run runs a program and returns what it printed.
func run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tool(t, name), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return out
}
