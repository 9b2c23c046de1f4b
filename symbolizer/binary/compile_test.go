package binary_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// openFile opens an ELF file by path, as the privileged side would.
func openFile(t testing.TB, path string) *binary.File {
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
	f, err := binary.Open(file, info.Size())
	if err != nil {
		t.Fatalf("opening %s: %v", path, err)
	}
	return f
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

// compileC compiles testdata/functions.c and returns the path of the result.
func compileC(t testing.TB, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "functions")
	run(t, "gcc", append(flags, "-o", out, filepath.Join("testdata", "functions.c"))...)
	return out
}
