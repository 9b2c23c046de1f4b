package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// What a Config that leaves them zero stands for.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultMaxInFlight = 256
	DefaultUtilization = 0.5
)

// Send performs one request and returns when it is over; it must return soon
// after ctx is done, whose deadline is the request's. Index is the position in
// the schedule; warm-up requests have negative ones. In an open loop it is
// called from many goroutines at a time, each index once.
type Send func(ctx context.Context, index int) Exchange

// Exchange is what came of one request. A zero time is one that never came.
type Exchange struct {
	Outcome metrics.Outcome
	// Err explains an outcome other than OK.
	Err        error
	FirstByte  time.Time
	FirstToken time.Time
	End        time.Time
	LocalPort  int
	Tokens     int
	TokensFrom string
	Bytes      int64
}

// Config says how requests arrive.
type Config struct {
	// Requests is the number of measured requests, and Duration the time after
	// which none starts any more. Zero is no bound; one of them must be given.
	Requests int
	Duration time.Duration
	// Deadline bounds the whole run, warm-up included; what is in flight then
	// is canceled. Zero is no bound.
	Deadline time.Duration
	// Timeout bounds a request from its send, and before that the wait for a
	// slot from its intended start.
	Timeout time.Duration
	Seed    uint64

	// Concurrency above zero asks for a closed loop of that many senders. The
	// following fields are the open loop's.
	Concurrency int
	Arrivals    Arrivals
	// Rate is in requests per second. When it is zero the warm-up finds it:
	// Utilization divided by the median time of a single warm-up request.
	Rate        float64
	Utilization float64
	// RaiseTo above a given Rate lets the warm-up raise it, as far as that leaves the
	// service within Utilization, and at most to this.
	RaiseTo float64
	// MaxInFlight bounds the requests in flight. A request that meets the bound
	// waits, its latency still counting from its intended start, and is recorded
	// as dropped when the timeout comes first.
	MaxInFlight int

	// Warmup is the number of requests sent one after another and discarded
	// before the measured ones.
	Warmup int
	// Measuring, if set, is called once between warm-up and measured phase.
	Measuring func()
	// Record, if set, receives each measured request at its end, from one
	// goroutine. An error stops the run.
	Record func(metrics.Request) error

	// coarse sleeps on Go timers alone, which a test with a fake clock can turn.
	coarse bool
}

// complete returns the config with its defaults, or says what is wrong with it.
func (c Config) complete() (Config, error) {
	if c.Requests < 0 || c.Duration < 0 || c.Deadline < 0 || c.Timeout < 0 || c.Concurrency < 0 ||
		c.Rate < 0 || c.RaiseTo < 0 || c.Utilization < 0 || c.MaxInFlight < 0 || c.Warmup < 0 {
		return c, errors.New("a load cannot have a negative number of anything")
	}
	if c.Requests == 0 && c.Duration == 0 {
		return c, errors.New("a load without a number of requests and without a duration would never end")
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.Utilization == 0 {
		c.Utilization = DefaultUtilization
	}
	if c.Arrivals == "" {
		c.Arrivals = Poisson
	}
	if c.Concurrency > 0 {
		if c.Rate > 0 {
			return c, fmt.Errorf("a closed loop of %d has no rate of its own, so %v per second cannot be asked of it", c.Concurrency, c.Rate)
		}
		return c, nil
	}
	if c.Rate == 0 && c.Warmup == 0 {
		return c, errors.New("an open loop needs a rate, or a warm-up to find one")
	}
	_, err := Schedule(c.Arrivals, max(c.Rate, 1), c.Seed)
	return c, err
}
