package debuginfo_test

import (
	"os"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
)

// benchmarkTable opens libc with its debug file, or skips the benchmark.
func benchmarkTable(b *testing.B) (*binary.File, func() *debuginfo.Table) {
	b.Helper()
	path, debug := systemLibrary(b, "/lib/*/libc.so.6")
	code := openFile(b, path)
	file, err := os.Open(debug)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return code, func() *debuginfo.Table {
		separate, err := binary.OpenDebug(file, info.Size(), code)
		if err != nil {
			b.Fatal(err)
		}
		return debuginfo.Open(code, debuginfo.Options{Debug: separate})
	}
}

func BenchmarkOpen(b *testing.B) {
	_, open := benchmarkTable(b)
	for b.Loop() {
		open()
	}
}

func BenchmarkFrames(b *testing.B) {
	code, open := benchmarkTable(b)
	addresses := sampled(code, 10_000)
	for b.Loop() {
		table := open()
		for _, addr := range addresses {
			if _, err := table.Frames(addr); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(table.Memory())/(1<<20), "MiB")
	}
	b.ReportMetric(float64(b.N)*float64(len(addresses))/b.Elapsed().Seconds(), "addresses/s")
}

func BenchmarkRanges(b *testing.B) {
	_, open := benchmarkTable(b)
	for b.Loop() {
		ranges := 0
		for _, err := range open().Ranges() {
			if err != nil {
				b.Fatal(err)
			}
			ranges++
		}
		b.ReportMetric(float64(ranges), "ranges")
	}
}
