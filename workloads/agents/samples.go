package agents

import (
	"slices"
	"time"

	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// samples are the values behind a document, of valid answers only; times are in
// milliseconds.
type samples struct {
	task     []float64
	byWay    map[way][]float64
	bytes    []float64
	depths   []float64
	failures int
}

// collect gathers the samples of a run.
func collect(result *load.Result, observed map[int]observation) *samples {
	s := &samples{failures: benchmark.Failures(result), byWay: make(map[way][]float64)}
	for _, request := range result.Requests {
		if request.Outcome != metrics.OK {
			continue
		}
		took := float64(request.End.Sub(request.IntendedStart)) / float64(time.Millisecond)
		seen := observed[request.Index]
		s.task = append(s.task, took)
		s.byWay[seen.way] = append(s.byWay[seen.way], took)
		s.bytes = append(s.bytes, float64(seen.bytes))
		if seen.told {
			s.depths = append(s.depths, float64(seen.depth))
		}
	}
	return s
}

// fill takes the samples of a run into its document.
func (s *samples) fill(document *metrics.Document, result *load.Result) {
	document.SetMean("task_mean_ms", s.task)
	document.SetQuantile("task_p50_ms", s.task, 0.50)
	document.SetQuantile("task_p95_ms", s.task, 0.95)
	document.SetQuantile("task_p99_ms", s.task, 0.99)
	for _, by := range []way{invoke, copilot, stream} {
		document.SetQuantile(string(by)+"_p50_ms", s.byWay[by], 0.50)
	}
	document.SetMean("answer_bytes_mean", s.bytes)
	if length := result.Ended.Sub(result.Started).Seconds(); length > 0 {
		document.Set("tasks_per_second", float64(len(s.task))/length)
	}
	if len(s.depths) == 0 {
		const untold = "the service does not tell how many tasks wait"
		document.SetUnavailable("queue_depth_mean", untold)
		document.SetUnavailable("queue_depth_max", untold)
		return
	}
	// Tasks that wait together are not independent of each other: no interval.
	document.SetPooledMean("queue_depth_mean", s.depths)
	document.Set("queue_depth_max", slices.Max(s.depths))
}
