package sigmavault

import (
	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// samples are the values behind a document, of valid iterations only; times are in
// milliseconds.
type samples struct {
	judged, all, cold []float64
	throughput        []float64 // of each iteration, in 10^6 bytes a second
	sizes             []float64
	iterations        int
	failures          int
}

// collect gathers the samples of a run.
func collect(result *load.Result, seen map[int]observation) samples {
	s := samples{failures: benchmark.Failures(result)}
	for _, request := range result.Requests {
		if request.Outcome != metrics.OK {
			continue
		}
		o := seen[request.Index]
		s.iterations++
		s.judged = append(s.judged, milliseconds(request.End.Sub(request.IntendedStart)))
		s.all = append(s.all, o.all...)
		s.cold = append(s.cold, o.cold...)
		s.sizes = append(s.sizes, float64(o.size))
		var busy float64
		for _, time := range o.all {
			busy += time
		}
		if busy > 0 {
			s.throughput = append(s.throughput, float64(o.bytes)/1e6/(busy/1e3))
		}
	}
	return s
}

// fill takes the samples into a document, by the word for one operation and for all.
func (s *samples) fill(document *metrics.Document, result *load.Result, one, all string) {
	document.SetMean(one+"_mean_ms", s.judged)
	document.SetQuantile(one+"_p50_ms", s.judged, 0.50)
	document.SetQuantile(one+"_p95_ms", s.judged, 0.95)
	document.SetQuantile(one+"_p99_ms", s.judged, 0.99)
	document.SetPooledQuantile("all_"+all+"_p50_ms", s.all, s.iterations, 0.50)
	document.SetPooledQuantile("all_"+all+"_p99_ms", s.all, s.iterations, 0.99)
	document.SetMean("throughput_mb_per_s", s.throughput)
	document.SetMean("unit_bytes_mean", s.sizes)
	if length := result.Ended.Sub(result.Started).Seconds(); length > 0 && len(s.all) > 0 {
		document.Set("operations_per_second", float64(len(s.all))/length)
	}
}

// judge adds a target on a quantile of the judged operations.
func (s *samples) judge(document *metrics.Document, metric string, q, milliseconds float64) {
	document.JudgeQuantile(metrics.Target{Metric: metric, Comparison: "<", Value: milliseconds, Unit: "ms"}, s.judged, s.failures, q)
}
