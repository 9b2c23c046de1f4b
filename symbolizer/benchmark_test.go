package symbolizer_test

import (
	"context"
	"debug/elf"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// benchmarkFiles are a C library, a large C++ library and a Go program. Each
// pattern may match nothing.
var benchmarkFiles = []struct{ name, pattern string }{
	{"libc", "/lib/*/libc.so.6"},
	{"libLLVM", "/usr/lib/*/libLLVM*.so*"},
	{"go", "GOROOT/bin/go"},
}

// benchmarkFile returns the first match, or skips the benchmark.
func benchmarkFile(b *testing.B, pattern string) string {
	b.Helper()
	if rest, ok := strings.CutPrefix(pattern, "GOROOT/"); ok {
		pattern = filepath.Join(strings.TrimSpace(run(b, "go", "env", "GOROOT")), rest)
	}
	matches, err := filepath.Glob(pattern)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range matches {
		if info, err := os.Stat(m); err == nil && info.Mode().IsRegular() {
			return m
		}
	}
	b.Skipf("no file matches %s", pattern)
	return ""
}

// sampledProfile returns an unnamed profile of 5,000 addresses in functions of
// a file, about what a window of a busy process has.
func sampledProfile(b *testing.B, path string) *profile.Profile {
	b.Helper()
	f, err := elf.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	static, err := f.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		b.Fatal(err)
	}
	dynamic, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		b.Fatal(err)
	}
	var functions []elf.Symbol
	for _, s := range append(static, dynamic...) {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Size > 0 && s.Section != elf.SHN_UNDEF {
			functions = append(functions, s)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	m := mapping(b, path, functions[0].Value)
	var places []place
	for range 5000 {
		s := functions[random.IntN(len(functions))]
		places = append(places, place{m, s.Value + random.Uint64N(s.Size)})
	}
	return newProfile(places...)
}

// forget takes a profile's names away.
func forget(p *profile.Profile) {
	p.Function = nil
	for _, l := range p.Location {
		l.Line = nil
	}
}

// countFrames names a profile and returns how many frames it got.
func countFrames(b *testing.B, s *symbolizer.Symbolizer, p *profile.Profile) int {
	stats, err := s.Symbolize(context.Background(), p)
	if err != nil {
		b.Fatal(err)
	}
	return stats.Binaries[0].Frames
}

// BenchmarkCold opens the binary and reads its tables anew for each profile.
func BenchmarkCold(b *testing.B) {
	for _, file := range benchmarkFiles {
		b.Run(file.name, func(b *testing.B) {
			p := sampledProfile(b, benchmarkFile(b, file.pattern))
			frames := 0
			for b.Loop() {
				forget(p)
				s := symbolizer.New(symbolizer.Config{Binaries: &files{}})
				frames += countFrames(b, s, p)
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkWarm names one profile after another of the same process.
func BenchmarkWarm(b *testing.B) {
	for _, file := range benchmarkFiles {
		b.Run(file.name, func(b *testing.B) {
			p := sampledProfile(b, benchmarkFile(b, file.pattern))
			s := symbolizer.New(symbolizer.Config{Binaries: &files{}})
			symbolize(b, s, p)
			frames := 0
			for b.Loop() {
				forget(p)
				frames += countFrames(b, s, p)
			}
			b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkTables measures reading the tables alone, and the memory they keep.
func BenchmarkTables(b *testing.B) {
	for _, file := range benchmarkFiles {
		b.Run(file.name, func(b *testing.B) {
			opened, err := os.Open(benchmarkFile(b, file.pattern))
			if err != nil {
				b.Fatal(err)
			}
			defer opened.Close()
			info, err := opened.Stat()
			if err != nil {
				b.Fatal(err)
			}
			var kept struct {
				symbols *binary.Symbols
				table   *binary.GoTable
			}
			read := func() {
				f, err := binary.Open(opened, info.Size())
				if err != nil {
					b.Fatal(err)
				}
				if kept.symbols, err = f.Symbols(); err != nil {
					b.Fatal(err)
				}
				if kept.table, err = f.GoTable(); err != nil && !errors.Is(err, binary.ErrNoGoTable) {
					b.Fatal(err)
				}
			}
			before := heap()
			read()
			grown := heap() - before
			for b.Loop() {
				read()
			}
			rows := kept.symbols.Len()
			if kept.table != nil {
				rows += kept.table.Len()
			}
			b.ReportMetric(float64(rows), "symbols")
			b.ReportMetric(float64(grown)/float64(rows), "heap-bytes/symbol")
			runtime.KeepAlive(kept)
		})
	}
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
