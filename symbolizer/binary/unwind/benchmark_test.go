package unwind_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// BenchmarkCompile makes the tables of well-known binaries. Besides the time it
// reports the rows and the memory of the table, rows a second, and how much more
// memory was in use at its making's height, which a sampling of the heap shows.
func BenchmarkCompile(b *testing.B) {
	for name, patterns := range map[string][]string{
		"libc":         {"/lib/*/libc.so.6"},
		"libcrypto":    {"/lib/*/libcrypto.so.3"},
		"python3":      {"/usr/bin/python3.*"},
		"node":         {"/usr/bin/node"},
		"libclang-cpp": {"/usr/lib/*/libclang-cpp.so.19.1"},
		"libLLVM":      {"/usr/lib/*/libLLVM.so.19.1"},
		"go":           {goCommand()},
	} {
		b.Run(name, func(b *testing.B) {
			paths := systemFiles(patterns...)
			if len(paths) == 0 {
				b.Skipf("this host has none of %q", patterns)
			}
			file, err := openELF(b, paths[0])
			if err != nil {
				b.Fatal(err)
			}
			var table *unwind.Table
			b.ReportAllocs()
			for b.Loop() {
				if table, err = unwind.Compile(file, unwind.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			rows := float64(len(table.Rows))
			b.ReportMetric(rows, "rows")
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(table.Memory()), "table-B")
			b.ReportMetric(float64(table.Statistics.Inexpressible), "inexpressible")
		})
	}
}

// goCommand returns the path of the go command itself.
func goCommand() string {
	path, err := exec.LookPath("go")
	if err != nil {
		return filepath.Join(runtime.GOROOT(), "bin", "go")
	}
	return path
}
