package ryot

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func TestStoppedRunIsInvalidAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer time.AfterFunc(5*time.Second, func() { cancel(errors.New("interrupted")) }).Stop()
		model := script{prefill: 40 * time.Millisecond, perToken: 4 * time.Millisecond}
		got := drive(ctx, t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Iterations: 1000, Seed: 5})
		d := got.document
		if got.err != nil || d.Status != metrics.Invalid || !strings.Contains(d.StatusReason, "interrupted") || d.N == 0 || d.N > 100 || d.Iterations != 1000 {
			t.Errorf("status %s (%s), n %d of %d, %v", d.Status, d.StatusReason, d.N, d.Iterations, got.err)
		}
		if d.Targets[0].Verdict != metrics.Undecided {
			t.Errorf("verdict %s of a stopped run", d.Targets[0].Verdict)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

func TestStopInTheWarmup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer time.AfterFunc(100*time.Millisecond, func() { cancel(errors.New("interrupted")) }).Stop()
		model := script{prefill: 40 * time.Millisecond, perToken: 4 * time.Millisecond}
		got := drive(ctx, t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Iterations: 100})
		d := got.document
		if got.err != nil || d.Status != metrics.Failed || !strings.Contains(d.StatusReason, "interrupted") || d.N != 0 || len(got.requests) != 0 {
			t.Errorf("status %s (%s), n %d, %v", d.Status, d.StatusReason, d.N, got.err)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

func TestDurationBoundsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := script{prefill: 40 * time.Millisecond, perToken: 4 * time.Millisecond}
		for _, options := range []load.Options{
			{Duration: 10 * time.Second, Seed: 5},
			{Duration: 10 * time.Second, Seed: 5, Concurrency: 2},
		} {
			got := drive(t.Context(), t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, options)
			d := got.document
			if got.err != nil || d.Status != metrics.Complete || d.N != d.Iterations || d.N < 35 { // Poisson: 58 are expected, less three deviations
				t.Errorf("%+v: status %s, n %d of %d, %v", options, d.Status, d.N, d.Iterations, got.err)
			}
			if closed := d.Load.Model == "closed-loop"; closed != (options.Concurrency > 0) {
				t.Errorf("%+v: load model %s", options, d.Load.Model)
			}
		}
	})
}
