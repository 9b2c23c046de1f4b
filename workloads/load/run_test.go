package load

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// after is a service that answers each request after the same time, however
// many are in flight.
func after(delay time.Duration) Send {
	return func(ctx context.Context, _ int) Exchange {
		return serve(ctx, delay)
	}
}

func serve(ctx context.Context, delay time.Duration) Exchange {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		now := time.Now()
		return Exchange{Outcome: metrics.OK, FirstByte: now, FirstToken: now, End: now}
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return Exchange{Outcome: metrics.TimedOut, Err: ctx.Err()}
		}
		return Exchange{Outcome: metrics.Canceled, Err: ctx.Err()}
	}
}

func latencies(requests []metrics.Request) []time.Duration {
	var found []time.Duration
	for _, request := range requests {
		found = append(found, request.End.Sub(request.IntendedStart))
	}
	slices.Sort(found)
	return found
}

// rank is the nearest-rank quantile of ascending values.
func rank(ascending []time.Duration, q float64) time.Duration {
	return ascending[max(int(math.Ceil(q*float64(len(ascending)))), 1)-1]
}

// stalling is a service that takes 5 ms, but does nothing at all in the second
// from stallAt after the beginning.
func stalling(begin time.Time, stallAt time.Duration) Send {
	return func(ctx context.Context, _ int) Exchange {
		now := time.Since(begin)
		delay := 5 * time.Millisecond
		if now >= stallAt && now < stallAt+time.Second {
			delay += stallAt + time.Second - now
		}
		return serve(ctx, delay)
	}
}

// A second's stall in a run of ten must show in the p99 as the schedule says: a
// request due t into the stall ends 1 s - t + 5 ms later, sent or not.
func TestStallShowsFromTheIntendedStart(t *testing.T) {
	const stallAt = 4 * time.Second
	for name, limit := range map[string]int{"unbounded": 10_000, "bound of 10 in flight": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := Config{coarse: true, Duration: 10 * time.Second, Rate: 100, Seed: 11, MaxInFlight: limit}
				result, err := Run(t.Context(), config, stalling(time.Now(), stallAt))
				if err != nil {
					t.Fatal(err)
				}
				schedule, err := Schedule(Poisson, 100, 11)
				if err != nil {
					t.Fatal(err)
				}
				var expected []time.Duration
				for at := range schedule {
					if at >= 10*time.Second {
						break
					}
					latency := 5 * time.Millisecond
					if at >= stallAt && at < stallAt+time.Second {
						latency += stallAt + time.Second - at
					}
					expected = append(expected, latency)
				}
				slices.Sort(expected)
				measured := latencies(result.Requests)
				if len(measured) != len(expected) || result.Asked != len(expected) {
					t.Fatalf("%d requests of %d asked, the schedule has %d", len(measured), result.Asked, len(expected))
				}
				for _, q := range []float64{0.5, 0.95, 0.99, 1} {
					got, want := rank(measured, q), rank(expected, q)
					if math.Abs(float64(got-want)) > 0.05*float64(want) && (limit == 10_000 || q >= 0.99) {
						t.Errorf("quantile %v is %v, want %v", q, got, want)
					}
				}
				if p99 := rank(expected, 0.99); p99 < 800*time.Millisecond {
					t.Errorf("expected p99 is %v: the stall would not be seen at all", p99)
				}
				if result.MaxInFlight > limit {
					t.Errorf("%d in flight, bound %d", result.MaxInFlight, limit)
				}
			})
		})
	}
}

// The same stall under a closed loop touches one request only: why an open loop
// is the rule.
func TestClosedLoopHidesTheStallAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := Config{coarse: true, Duration: 10 * time.Second, Concurrency: 1}
		result, err := Run(t.Context(), config, stalling(time.Now(), 4*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		measured := latencies(result.Requests)
		if p99 := rank(measured, 0.99); p99 != 5*time.Millisecond {
			t.Errorf("p99 %v, want the undisturbed 5 ms", p99)
		}
		if described := result.Load(); described.Model != "closed-loop" || described.RatePerSecond != 0 || described.Concurrency != 1 {
			t.Errorf("described as %+v", described)
		}
		// 9 s of 5 ms each and the stalled one.
		if got := len(measured); got < 1795 || got > 1805 {
			t.Errorf("%d requests in 10 s", got)
		}
		if status, reason := result.Status(); status != metrics.Complete {
			t.Errorf("status %s: %s", status, reason)
		}
	})
}

func TestBoundInFlightDropsAloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Ten a second for ten seconds, one slot, two seconds each, three
		// seconds of patience: most cannot be sent.
		config := Config{coarse: true, Requests: 100, Rate: 10, Arrivals: Uniform, MaxInFlight: 1, Timeout: 3 * time.Second}
		result, err := Run(t.Context(), config, after(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		outcomes := result.Outcomes()
		if len(result.Requests) != 100 || result.MaxInFlight != 1 {
			t.Errorf("%d records, %d in flight", len(result.Requests), result.MaxInFlight)
		}
		for i, request := range result.Requests {
			if request.Index != i {
				t.Fatalf("record %d has index %d", i, request.Index)
			}
			if err := request.Validate(); err != nil {
				t.Error(err)
			}
			if request.Outcome == metrics.Dropped && (request.Sent != nil || request.End.Sub(request.IntendedStart) != 3*time.Second) {
				t.Errorf("dropped record %+v", request)
			}
			if want := time.Duration(i) * 100 * time.Millisecond; request.IntendedStart.Sub(result.Requests[0].IntendedStart) != want {
				t.Errorf("record %d was due %v after the first", i, request.IntendedStart.Sub(result.Requests[0].IntendedStart))
			}
		}
		if outcomes[metrics.Dropped] < 80 {
			t.Errorf("outcomes %v", outcomes)
		}
		if status, reason := result.Status(); status != metrics.Invalid || reason == "" {
			t.Errorf("status %s: %s", status, reason)
		}
		if described := result.Load(); described.SendLateMaxMs <= 0 || described.SendLateMaxMs > 3000 {
			t.Errorf("latest send %v ms", described.SendLateMaxMs)
		}
	})
}

func TestTimeoutCountsFromTheSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := Config{coarse: true, Requests: 3, Rate: 1, Arrivals: Uniform, Timeout: 1500 * time.Millisecond}
		result, err := Run(t.Context(), config, after(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, request := range result.Requests {
			if request.Outcome != metrics.TimedOut || request.End.Sub(*request.Sent) != config.Timeout {
				t.Errorf("%+v", request)
			}
		}
		if status, _ := result.Status(); status != metrics.Failed {
			t.Errorf("status %s", status)
		}
	})
}

func TestCancelKeepsWhatThereIs(t *testing.T) {
	cause := errors.New("interrupted")
	for name, config := range map[string]Config{
		"open":              {coarse: true, Requests: 100, Rate: 10, Arrivals: Uniform},
		"open for a time":   {coarse: true, Duration: 10 * time.Second, Rate: 10, Arrivals: Uniform},
		"closed":            {Requests: 100, Concurrency: 2},
		"closed for a time": {Duration: 10 * time.Second, Concurrency: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(2050*time.Millisecond, func() { cancel(cause) })
				begin := time.Now()
				result, err := Run(ctx, config, after(200*time.Millisecond))
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took != 2050*time.Millisecond {
					t.Errorf("took %v", took)
				}
				outcomes := result.Outcomes()
				if !errors.Is(result.Stopped, cause) || outcomes[metrics.OK] < 15 || outcomes[metrics.Canceled] == 0 {
					t.Errorf("stopped by %v with %v", result.Stopped, outcomes)
				}
				if status, reason := result.Status(); status != metrics.Invalid || reason == "" {
					t.Errorf("status %s: %s", status, reason)
				}
			})
		})
	}
}

func TestDeadlineStopsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := Config{coarse: true, Requests: 1000, Rate: 10, Deadline: 3 * time.Second}
		result, err := Run(t.Context(), config, after(time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(result.Stopped, ErrDeadline) || len(result.Requests) == 0 {
			t.Errorf("stopped by %v with %d", result.Stopped, len(result.Requests))
		}
	})
}

func TestCancelAfterTheLastAnswerChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		config := Config{coarse: true, Requests: 5, Rate: 10, Record: func(r metrics.Request) error {
			if r.Index == 4 {
				cancel()
			}
			return nil
		}}
		result, err := Run(ctx, config, after(time.Millisecond))
		if status, _ := result.Status(); err != nil || status != metrics.Complete {
			t.Errorf("status %s, %v", status, err)
		}
	})
}

func TestRecordErrorStopsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		seen := 0
		config := Config{coarse: true, Requests: 100, Rate: 10, Record: func(metrics.Request) error {
			if seen++; seen == 3 {
				return full
			}
			return nil
		}}
		result, err := Run(t.Context(), config, after(time.Millisecond))
		if !errors.Is(err, full) || seen != 3 || len(result.Requests) < 3 || len(result.Requests) > 5 {
			t.Errorf("%v after %d calls and %d records", err, seen, len(result.Requests))
		}
	})
}

func TestCalibrationUsesTheWarmup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mutex sync.Mutex
		var order []int
		measuring := -1
		config := Config{coarse: true, Requests: 200, Warmup: 5, Utilization: 0.5, Measuring: func() { measuring = len(order) }}
		result, err := Run(t.Context(), config, func(ctx context.Context, index int) Exchange {
			mutex.Lock()
			order = append(order, index)
			mutex.Unlock()
			if index == -5 {
				return serve(ctx, time.Second) // cold
			}
			return serve(ctx, 50*time.Millisecond)
		})
		if err != nil {
			t.Fatal(err)
		}
		if result.Config.Rate != 10 || result.Calibration.ServiceTimeMedianMs != 50 || result.Calibration.Requests != 4 {
			t.Errorf("rate %v from %+v, want half of 20 per second", result.Config.Rate, result.Calibration)
		}
		if !slices.Equal(order[:5], []int{-5, -4, -3, -2, -1}) || measuring != 5 {
			t.Errorf("warm-up order %v, measuring after %d", order[:5], measuring)
		}
		if len(result.Requests) != 200 || result.Warmup != 5 {
			t.Errorf("%d measured, %d warm-up", len(result.Requests), result.Warmup)
		}
	})
}

func TestWarmupWithoutAnswerEndsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("nobody there")
		sent := 0
		_, err := Run(t.Context(), Config{coarse: true, Requests: 10, Warmup: 50}, func(context.Context, int) Exchange {
			sent++
			return Exchange{Outcome: metrics.Refused, Err: refused}
		})
		var warmup *WarmupError
		if !errors.As(err, &warmup) || !errors.Is(err, refused) || sent != patience {
			t.Errorf("%v after %d requests", err, sent)
		}
	})
}

func TestConfigRefuses(t *testing.T) {
	for name, config := range map[string]Config{
		"endless":               {Rate: 1},
		"no rate":               {Requests: 1},
		"rate of closed loop":   {Requests: 1, Rate: 1, Concurrency: 1},
		"negative":              {Requests: -1, Rate: 1},
		"unknown arrivals":      {Requests: 1, Rate: 1, Arrivals: "often"},
		"rate that is too fast": {Requests: 1, Rate: 1e12},
	} {
		if _, err := Run(t.Context(), config, after(0)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The instants must lie between two readings of the kernel's clock.
func TestClockIsTheKernels(t *testing.T) {
	clock, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	read := func() int64 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			t.Fatal(err)
		}
		return now.Nano()
	}
	const tolerance = int64(50 * time.Microsecond)
	for range 1000 {
		before := read()
		instant := clock.Instant(time.Now())
		if end := read(); instant.MonotonicNs < before-tolerance || instant.MonotonicNs > end+tolerance {
			t.Fatalf("instant %d outside of %d to %d", instant.MonotonicNs, before, end)
		}
	}
}

func TestErrorTextIsPlain(t *testing.T) {
	long := plainText("\x1b[31mred\nline" + string(make([]byte, 1000)))
	if want := " [31mred line"; long[:len(want)] != want || len([]rune(long)) != 301 {
		t.Errorf("%q", long)
	}
}

func TestPhases(t *testing.T) {
	var marks []string
	phases := NewPhases(func(phase string) { marks = append(marks, phase) })
	phases.Enter(1, "prefill")
	phases.Enter(1, "decode")
	phases.Enter(2, "prefill")
	phases.Leave(1)
	phases.Enter(2, "decode")
	phases.Leave(2)
	want := []string{Mixed, "prefill", "decode", Mixed, "prefill", "decode", Mixed}
	if !slices.Equal(marks, want) {
		t.Errorf("marks %v, want %v", marks, want)
	}
}

// A given rate is raised by as much as the service has time for, and never lowered.
func TestTheWarmupRaisesARate(t *testing.T) {
	for _, test := range []struct{ given, raiseTo, want float64 }{
		{2, 100, 10}, {2, 5, 5}, {20, 100, 20}, {2, 0, 2}, {2, 1, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			send := func(context.Context, int) Exchange {
				time.Sleep(50 * time.Millisecond)
				return Exchange{Outcome: metrics.OK, End: time.Now()}
			}
			result, err := Run(t.Context(), Config{Requests: 1, Warmup: 5, Rate: test.given, RaiseTo: test.raiseTo, coarse: true}, send)
			if err != nil {
				t.Fatal(err)
			}
			if result.Config.Rate != test.want || result.Calibration != nil {
				t.Errorf("%v of %+v", result.Config.Rate, test)
			}
		})
	}
}
