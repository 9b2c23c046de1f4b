package costs

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/analysis/statistics"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []float64
		want   Estimate
	}{
		{"one", []float64{7}, Estimate{Median: 7, N: 1}},
		{"odd", []float64{9, 1, 5}, Estimate{Median: 5, N: 3}},
		{"even", []float64{4, 1, 2, 3}, Estimate{Median: 2.5, N: 4}},
		// Of six values the least and the greatest enclose the median with
		// 1 - 2/2^6 = 97 %; of five with 94 %.
		{"five", []float64{5, 4, 3, 2, 1}, Estimate{Median: 3, N: 5}},
		{"six", []float64{6, 5, 4, 3, 2, 1}, Estimate{Median: 3.5, N: 6, Interval: &statistics.Interval{Low: 1, High: 6}}},
		// Nine: one value on each side may be left out, 1 - 2(1+9)/2^9 = 96 %.
		{"nine", []float64{9, 8, 7, 6, 5, 4, 3, 2, 1}, Estimate{Median: 5, N: 9, Interval: &statistics.Interval{Low: 2, High: 8}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Median(test.values)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if e := Median(nil); !math.IsNaN(e.Median) || e.N != 0 {
		t.Errorf("of nothing: %+v", e)
	}
}

func TestMedianLeavesItsInputAlone(t *testing.T) {
	values := []float64{3, 1, 2}
	Median(values)
	if diff := cmp.Diff([]float64{3, 1, 2}, values); diff != "" {
		t.Error(diff)
	}
}
