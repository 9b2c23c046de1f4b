package costs

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/analysis/statistics"
)

func TestTable(t *testing.T) {
	table := Table{
		Title:   "Costs",
		Machine: Machine{Model: "Some CPU", CPUs: 4, Kernel: "6.1.0", Architecture: "amd64", Virtual: "a virtual machine"},
	}
	table.add("a sample", "ns", Estimate{Median: 1234.5, N: 6, Interval: &statistics.Interval{Low: 999.4, High: 2000.6}})
	table.add("memory", "MB", Estimate{Median: 61.25, N: 1})
	table.add("slower by", "%", Estimate{Median: -0.0321, N: 12, Interval: &statistics.Interval{Low: -1.5, High: 0.25}})
	table.add("nothing", "ns", Estimate{Median: math.NaN()})
	table.add("none lost", "events", Estimate{Median: 0, N: 2})
	table.skip("perf", errors.New("not installed"))
	const want = `## Costs

Some CPU, 4 CPUs, Linux 6.1.0 amd64, a virtual machine

| cost | median | unit | 95 % interval | n |
|---|--:|---|---|--:|
| a sample | 1234 | ns | 999 to 2001 | 6 |
| memory | 61.2 | MB | - | 1 |
| slower by | -0.03 | % | -1.50 to 0.25 | 12 |
| nothing | unknown | ns | - | 0 |
| none lost | 0 | events | - | 2 |

Not measured: perf: not installed
`
	var got strings.Builder
	n, err := table.WriteTo(&got)
	if err != nil || n != int64(len(want)) {
		t.Errorf("WriteTo = %d, %v; want %d bytes", n, err, len(want))
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}
