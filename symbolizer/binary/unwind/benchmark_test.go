package unwind_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// BenchmarkCompile makes the tables of well-known binaries. Besides the time, and
// all memory that was allocated on the way, it reports the rows of a table, how
// many are made a second, how much memory a table takes, and how many rows it has
// for what it cannot say.
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
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(strings.TrimSpace(string(root)), "bin", "go")
}
