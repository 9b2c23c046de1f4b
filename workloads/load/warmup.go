package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// patience is how many warm-up requests in a row may fail before the rest is
// spared a service that does not answer.
const patience = 3

// WarmupError says that no warm-up request got a valid answer, so there is
// nothing to measure.
type WarmupError struct {
	Sent    int
	Outcome metrics.Outcome
	// Err is the last request's error.
	Err error
}

// Error names the last outcome and its cause.
func (e *WarmupError) Error() string {
	return fmt.Sprintf("none of %d warm-up requests was answered, the last one ended as %s: %v", e.Sent, e.Outcome, e.Err)
}

// Unwrap returns the last request's error.
func (e *WarmupError) Unwrap() error { return e.Err }

// warmUp sends the warm-up requests one after another and, for an open loop
// without a rate, chooses the rate from them.
func (g *generator) warmUp(ctx context.Context, result *Result) error {
	var times []time.Duration
	var last Exchange
	failures := 0
	for index := -g.config.Warmup; index < 0; index++ {
		started := time.Now()
		limited, cancel := context.WithTimeout(ctx, g.config.Timeout)
		last = g.send(limited, index)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		result.Warmup++
		if last.Outcome != metrics.OK {
			if failures++; failures == patience && len(times) == 0 {
				break
			}
			continue
		}
		failures = 0
		times = append(times, last.End.Sub(started))
	}
	if g.config.Warmup > 0 && len(times) == 0 {
		return &WarmupError{Sent: result.Warmup, Outcome: last.Outcome, Err: last.Err}
	}
	switch given := g.config.Rate; {
	case g.config.Concurrency > 0:
	case given == 0:
		return result.calibrate(times)
	case g.config.RaiseTo > given && len(times) > 0:
		if err := result.calibrate(times); err != nil {
			return err
		}
		result.Config.Rate = min(max(result.Config.Rate, given), g.config.RaiseTo)
		result.Calibration = nil // the rate is not what follows from it alone
	}
	return nil
}

// calibrate sets the rate from the times of single requests. The first ones run
// on cold caches; of four and more the first is left out.
func (r *Result) calibrate(times []time.Duration) error {
	if len(times) >= 4 {
		times = times[1:]
	}
	median := medianOf(times)
	if median <= 0 {
		return fmt.Errorf("choosing an arrival rate: the median warm-up request took %v", median)
	}
	r.Config.Rate = r.Config.Utilization / median.Seconds()
	r.Calibration = &metrics.Calibration{
		ServiceTimeMedianMs: milliseconds(median),
		Requests:            len(times),
		Utilization:         r.Config.Utilization,
	}
	return nil
}

// medianOf returns the middle of the durations, the mean of the middle two when
// their number is even.
func medianOf(durations []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
