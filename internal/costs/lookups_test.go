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
			for _, warm := range []bool{true, false} {
				name := fmt.Sprintf("%s, %d workers, cold", c.name, workers)
				if warm {
					name = fmt.Sprintf("%s, %d workers, warm", c.name, workers)
				}
				b.Run(name, func(b *testing.B) {
					var total time.Duration
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
						total += took
						if !warm {
							if err := os.RemoveAll(dir); err != nil {
								b.Fatal(err)
							}
						}
					}
					b.ReportMetric(float64(b.N)*corpusAddresses/total.Seconds(), "addresses/s")
				})
			}
		}
	}
	for _, skipped := range table.Skipped {
		b.Log(skipped)
	}
}
