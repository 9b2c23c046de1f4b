package load

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/statistics"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Result is a run as it came out.
type Result struct {
	// Config is the run's config with its defaults and the rate that was used.
	Config Config
	// Calibration says how the rate was chosen; nil when it was given.
	Calibration *metrics.Calibration
	// Asked is the number of measured requests that a whole run has; Requests
	// are those that were due, in the order of their index.
	Asked    int
	Requests []metrics.Request
	// Warmup is the number of requests sent and discarded before them.
	Warmup int
	// Started and Ended enclose the measured phase. CPU is the user and system
	// time of this whole process meanwhile.
	Started, Ended time.Time
	CPU            time.Duration
	MaxInFlight    int
	// late is by how many milliseconds the generator came to each request after its
	// intended start, before the bound on those in flight could hold it.
	late []float64
	// Stopped is why the run ended early, nil when it did not.
	Stopped error
}

func (r *Result) order() {
	slices.SortFunc(r.Requests, func(a, b metrics.Request) int { return cmp.Compare(a.Index, b.Index) })
}

// cutShort tells a run that was stopped from one that was over anyway. A closed
// loop bounded by time alone has no number to compare with.
func (r *Result) cutShort() bool {
	if r.Config.Concurrency > 0 && r.Config.Requests == 0 {
		return r.Ended.Sub(r.Started) < r.Config.Duration || r.Outcomes()[metrics.Canceled] > 0
	}
	return len(r.Requests) < r.Asked || r.Outcomes()[metrics.Canceled] > 0
}

// Status judges the run: failed without any valid answer, invalid when it was
// not the load that was asked for, else complete. The reason is empty only for
// complete.
func (r *Result) Status() (metrics.Status, string) {
	outcomes := r.Outcomes()
	switch {
	case outcomes[metrics.OK] == 0 && r.Stopped != nil:
		return metrics.Failed, fmt.Sprintf("stopped before any of %d requests got a valid answer: %v", r.Asked, r.Stopped)
	case outcomes[metrics.OK] == 0:
		return metrics.Failed, fmt.Sprintf("none of %d requests got a valid answer", len(r.Requests))
	case r.Stopped != nil:
		return metrics.Invalid, fmt.Sprintf("stopped after %d of %d requests: %v", len(r.Requests), r.Asked, r.Stopped)
	case len(r.Requests) < r.Asked:
		return metrics.Invalid, fmt.Sprintf("only %d of %d requests were due within the %v given", len(r.Requests), r.Asked, r.Config.Duration)
	case outcomes[metrics.Dropped] > 0:
		return metrics.Invalid, fmt.Sprintf("%d of %d requests were never sent, as %d were in flight", outcomes[metrics.Dropped], r.Asked, r.Config.MaxInFlight)
	}
	return metrics.Complete, ""
}

// Outcomes counts the requests by their outcome.
func (r *Result) Outcomes() map[metrics.Outcome]int {
	counts := make(map[metrics.Outcome]int)
	for _, request := range r.Requests {
		counts[request.Outcome]++
	}
	return counts
}

// Load describes the run for a metrics document.
func (r *Result) Load() metrics.Load {
	length := r.Ended.Sub(r.Started).Seconds()
	described := metrics.Load{
		Model:               "open-loop",
		Arrivals:            string(r.Config.Arrivals),
		RatePerSecond:       r.Config.Rate,
		Calibration:         r.Calibration,
		WarmupRequests:      r.Warmup,
		DurationSeconds:     length,
		MaxInFlight:         r.MaxInFlight,
		InFlightLimit:       r.Config.MaxInFlight,
		GeneratorCPUSeconds: r.CPU.Seconds(),
	}
	if length > 0 {
		described.GeneratorCPURatio = r.CPU.Seconds() / length
	}
	if r.Config.Concurrency > 0 {
		described.Model, described.Arrivals = "closed-loop", "sequential"
		described.Concurrency, described.InFlightLimit = r.Config.Concurrency, 0
	}
	sent, own := r.lateness(), slices.Sorted(slices.Values(r.late))
	for _, of := range []struct {
		late  []float64
		q     float64
		field *float64
	}{
		{sent, 0.50, &described.SendLateP50Ms},
		{sent, 0.99, &described.SendLateP99Ms},
		{sent, 1, &described.SendLateMaxMs},
		{own, 0.50, &described.OwnLateP50Ms},
		{own, 0.99, &described.OwnLateP99Ms},
	} {
		// Without a request that left the lateness stays 0.
		if value, ok := statistics.Quantile(of.late, of.q); ok {
			*of.field = value
		}
	}
	return described
}

// lateness returns, ascending, by how many milliseconds each request that left
// did so after its intended start.
func (r *Result) lateness() []float64 {
	var late []float64
	for _, request := range r.Requests {
		if request.Sent != nil {
			late = append(late, milliseconds(request.Sent.Sub(request.IntendedStart)))
		}
	}
	slices.Sort(late)
	return late
}

// cpuTime returns the user and system time this process has used.
func cpuTime() (time.Duration, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("reading the generator's own CPU time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
