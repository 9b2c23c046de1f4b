package costs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBenchmarks(t *testing.T) {
	const output = `goos: linux
pkg: example.org/some/package
BenchmarkDecode/10-2         	 5000000	       231.5 ns/op	     128 B/op
BenchmarkDecode/10-2         	 5100000	       229 ns/op	     128 B/op
BenchmarkDecode/200-frames   	  500000	      2310 ns/op
BenchmarkCold/libLLVM-16     	      10	  1.5e+08 ns/op	 33000 frames/s
--- BENCH: BenchmarkCold
BenchmarkSkipped
PASS
ok  	example.org/some/package	3.2s
`
	got, err := parseBenchmarks(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	want := benchmarkResults{
		"BenchmarkDecode/10":         {"ns/op": {231.5, 229}, "B/op": {128, 128}},
		"BenchmarkDecode/200-frames": {"ns/op": {2310}},
		"BenchmarkCold/libLLVM":      {"ns/op": {1.5e8}, "frames/s": {33000}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := parseBenchmarks(strings.NewReader("BenchmarkX-2 10 fast ns/op\n")); err == nil {
		t.Error("a value that is no number was accepted")
	}
}

func FuzzParseBenchmarks(f *testing.F) {
	f.Add("BenchmarkDecode/10-2 5000 231.5 ns/op 128 B/op\n")
	f.Add("Benchmark-2 1 NaN x\nok\n")
	f.Fuzz(func(t *testing.T, output string) {
		results, err := parseBenchmarks(strings.NewReader(output))
		if err != nil {
			return
		}
		for name, units := range results {
			if !strings.HasPrefix(name, "Benchmark") || len(units) == 0 {
				t.Errorf("%q has %v", name, units)
			}
		}
	})
}
