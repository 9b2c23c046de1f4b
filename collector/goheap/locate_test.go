package goheap

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// versions are all that the layout was compared in.
var versions = []string{"local", "go1.20.14", "go1.21.13", "go1.22.12", "go1.23.12", "go1.24.11", "go1.25.5"}

func full() bool { return os.Getenv("NARROWS_TEST_FULL") != "" }

// buildGo builds a program of testdata, or skips the test if the toolchain cannot be had.
func buildGo(t testing.TB, program, toolchain string, environment []string, flags ...string) string {
	t.Helper()
	environment = append(append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0"), environment...)
	version := exec.Command("go", "version")
	version.Env = environment
	if out, err := version.CombinedOutput(); err != nil {
		t.Skipf("the toolchain %s cannot be had: %v\n%s", toolchain, err, out)
	}
	path := filepath.Join(t.TempDir(), program)
	build := exec.Command("go", append(append([]string{"build"}, flags...), "-o", path, ".")...)
	build.Dir, build.Env = filepath.Join("testdata", program), environment
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with %s: %v\n%s", toolchain, err, out)
	}
	return path
}

func open(t *testing.T, path string) (*binary.File, *binary.GoTable) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
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
	table, err := file.GoTable()
	if err != nil {
		t.Fatal(err)
	}
	return file, table
}

// TestByCode compares what the code says with what the symbols say, for the machines that
// Narrows runs on.
func TestByCode(t *testing.T) {
	tested := versions[:2]
	if full() {
		tested = versions
	}
	for _, version := range tested {
		for name, build := range map[string]struct{ environment, flags []string }{
			"amd64":     {[]string{"GOARCH=amd64"}, nil},
			"amd64 v3":  {[]string{"GOARCH=amd64", "GOAMD64=v3"}, nil},
			"amd64 PIE": {[]string{"GOARCH=amd64"}, []string{"-buildmode=pie"}},
			"arm64":     {[]string{"GOARCH=arm64"}, nil},
			"arm64 PIE": {[]string{"GOARCH=arm64"}, []string{"-buildmode=pie"}},
		} {
			t.Run(version+"/"+name, func(t *testing.T) {
				file, table := open(t, buildGo(t, "goheap", version, build.environment, build.flags...))
				want, err := bySymbols(file)
				if err != nil || want == (variables{}) {
					t.Fatalf("symbols say %+v: %v", want, err)
				}
				spans, err := findFunctions(table)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := byCode(file, spans); err != nil || got != want {
					t.Errorf("the code says %#x (%v), symbols %#x", got, err, want)
				}
			})
		}
	}
}
