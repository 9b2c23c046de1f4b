package costs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// BenchmarkNaming names a million addresses in 200 binaries of this machine, for a look
// at where the time goes (-cpuprofile). Command costs prints the figures.
func BenchmarkNaming(b *testing.B) {
	var table Table
	all, err := corpora(b.Context(), &table)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range all {
		for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
			for _, when := range []string{"warm", "cold"} {
				b.Run(fmt.Sprintf("%s, %d workers, %s", c.name, workers, when), func(b *testing.B) { benchmarkNaming(b, c, workers, when == "warm") })
			}
		}
	}
	for _, skipped := range table.Skipped {
		b.Log(skipped)
	}
}

func benchmarkNaming(b *testing.B, c corpus, workers int, warm bool) {
	var total, used time.Duration
	dir := filepath.Join(b.TempDir(), "indexes")
	if warm {
		if _, err := nameAll(b.Context(), c, dir, workers); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		took, err := nameAll(b.Context(), c, dir, workers)
		if err != nil {
			b.Fatal(err)
		}
		total += took.wall
		used += took.cpu
		if !warm {
			if err := os.RemoveAll(dir); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*corpusAddresses/total.Seconds(), "addresses/s")
	b.ReportMetric(used.Seconds()/float64(b.N)*1e3, "CPU-ms/op")
}
