package load

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// ErrDeadline is why a run stopped that reached Config.Deadline.
var ErrDeadline = errors.New("the run reached its deadline")

// generator is one call of Run.
type generator struct {
	config Config
	send   Send
	clock  *Clock
	// slots holds one token for each request in flight.
	slots    chan struct{}
	highest  atomic.Int64
	finished chan outcome
}

// outcome is a request that is over, and by how much it was late before it could
// meet the bound on those in flight: what only the generator is to blame for.
type outcome struct {
	metrics.Request
	late time.Duration
}

// Run sends the warm-up requests, then the measured ones, and returns when all
// are over. A run that was stopped early, by ctx or its deadline, returns what
// it has with Result.Stopped set and no error. Errors are a config that makes no
// sense, a [*WarmupError], what Config.Record returned, and what the kernel refuses
// to the clocks; with a request sent already the result is returned as well.
func Run(ctx context.Context, config Config, send Send) (*Result, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	clock, err := NewClock()
	if err != nil {
		return nil, err
	}
	if config.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, config.Deadline, ErrDeadline)
		defer cancel()
	}
	g := &generator{config: config, send: send, clock: clock, finished: make(chan outcome, 64)}
	result := &Result{Config: config, Asked: config.Requests}
	if err := g.warmUp(ctx, result); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		result.Stopped = context.Cause(ctx)
		return result, nil
	}
	if config.Measuring != nil {
		config.Measuring()
	}
	return result, g.measure(ctx, result)
}

// measure runs the measured phase into result.
func (g *generator) measure(parent context.Context, result *Result) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	used, err := cpuTime()
	if err != nil {
		return err
	}
	var collector sync.WaitGroup
	collector.Go(func() {
		for over := range g.finished {
			result.Requests = append(result.Requests, over.Request)
			result.late = append(result.late, milliseconds(over.late))
			if g.config.Record == nil || err != nil {
				continue
			}
			if err = g.config.Record(over.Request); err != nil {
				cancel(err)
			}
		}
	})
	result.Started = time.Now()
	var loopErr error
	if g.config.Concurrency > 0 {
		g.closedLoop(ctx, result)
	} else {
		loopErr = g.openLoop(ctx, result)
	}
	close(g.finished)
	collector.Wait()
	result.Ended = time.Now()
	after, cpuErr := cpuTime()
	result.CPU = after - used
	result.MaxInFlight = int(g.highest.Load())
	result.order()
	if ctx.Err() != nil && result.cutShort() {
		result.Stopped = context.Cause(ctx)
	}
	return errors.Join(err, loopErr, cpuErr)
}

// openLoop starts requests on the schedule, each on a sender of its own so that
// none waits for another.
func (g *generator) openLoop(ctx context.Context, result *Result) (err error) {
	g.slots = make(chan struct{}, g.config.MaxInFlight)
	schedule, err := Schedule(g.config.Arrivals, result.Config.Rate, g.config.Seed)
	if err != nil {
		// The config was checked and the calibrated rate is a positive number.
		panic(err)
	}
	if g.config.Requests == 0 {
		result.Asked = due(schedule, g.config.Duration)
	}
	var alarm *alarm
	if !g.config.coarse {
		if alarm, err = newAlarm(); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, alarm.close()) }()
	var senders sync.WaitGroup
	arrivals := make(chan arrival)
	next := 0
	for offset := range schedule {
		if next == result.Asked || g.config.Duration > 0 && offset >= g.config.Duration {
			break
		}
		intended := result.Started.Add(offset)
		var onTime bool
		if onTime, err = sleepUntil(ctx, alarm, intended); !onTime {
			break
		}
		a := arrival{next, intended}
		select {
		case arrivals <- a: // to a sender that waits for work: its stack has grown already
		default:
			senders.Go(func() {
				g.request(ctx, a)
				for a := range arrivals {
					g.request(ctx, a)
				}
			})
		}
		next++
	}
	close(arrivals)
	senders.Wait()
	return err
}

// due counts the starts before an end.
func due(schedule iter.Seq[time.Duration], end time.Duration) int {
	count := 0
	for offset := range schedule {
		if offset >= end {
			break
		}
		count++
	}
	return count
}

// arrival is a measured request and when it should leave.
type arrival struct {
	index    int
	intended time.Time
}

// closedLoop runs Concurrency senders; each sends its next request when its last
// one is over.
func (g *generator) closedLoop(ctx context.Context, result *Result) {
	g.slots = make(chan struct{}, g.config.Concurrency)
	var next atomic.Int64
	var senders sync.WaitGroup
	for range g.config.Concurrency {
		senders.Go(func() {
			for ctx.Err() == nil {
				now := time.Now()
				if g.config.Duration > 0 && now.Sub(result.Started) >= g.config.Duration {
					return
				}
				index := int(next.Add(1)) - 1
				if g.config.Requests > 0 && index >= g.config.Requests {
					return
				}
				g.request(ctx, arrival{index, now})
			}
		})
	}
	senders.Wait()
	if g.config.Requests == 0 {
		result.Asked = int(next.Load())
	}
}

// request takes a slot, sends, and hands the record to the collector.
func (g *generator) request(ctx context.Context, a arrival) {
	late := time.Since(a.intended)
	if exchange := g.takeSlot(ctx, a.intended); exchange != nil {
		g.finished <- outcome{g.record(a, time.Time{}, *exchange), late}
		return
	}
	raise(&g.highest, int64(len(g.slots)))
	sent := time.Now()
	limited, cancel := context.WithDeadline(ctx, sent.Add(g.config.Timeout))
	exchange := g.send(limited, a.index)
	cancel()
	<-g.slots
	g.finished <- outcome{g.record(a, sent, exchange), late}
}

// takeSlot waits for a slot and returns nil when it has one, else what to record
// of the request that is not sent.
func (g *generator) takeSlot(ctx context.Context, intended time.Time) *Exchange {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(time.Until(intended.Add(g.config.Timeout)))
	defer patience.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-patience.C:
		return &Exchange{Outcome: metrics.Dropped, Err: fmt.Errorf("%d requests were in flight for %v", g.config.MaxInFlight, g.config.Timeout)}
	case <-ctx.Done():
		return &Exchange{Outcome: metrics.Canceled, Err: fmt.Errorf("stopped while it waited for a slot: %w", context.Cause(ctx))}
	}
}

// raise sets highest to value unless it is above it already.
func raise(highest *atomic.Int64, value int64) {
	for {
		current := highest.Load()
		if value <= current || highest.CompareAndSwap(current, value) {
			return
		}
	}
}

func (g *generator) record(a arrival, sent time.Time, exchange Exchange) metrics.Request {
	end := exchange.End
	if end.IsZero() {
		end = time.Now()
	}
	request := metrics.Request{
		Index:         a.index,
		IntendedStart: g.clock.Instant(a.intended),
		Sent:          g.clock.optional(sent),
		FirstByte:     g.clock.optional(exchange.FirstByte),
		FirstToken:    g.clock.optional(exchange.FirstToken),
		End:           g.clock.Instant(end),
		LocalPort:     exchange.LocalPort,
		Outcome:       exchange.Outcome,
		Tokens:        exchange.Tokens,
		TokensFrom:    exchange.TokensFrom,
		Bytes:         exchange.Bytes,
	}
	if exchange.Err != nil {
		request.Error = plainText(exchange.Err.Error())
	}
	return request
}

// plainText makes a text of foreign origin safe for a terminal and a log line:
// no control characters, and at most 300 characters.
func plainText(text string) string {
	const limit = 300
	var plain strings.Builder
	count := 0
	for _, r := range text {
		if count == limit {
			plain.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		plain.WriteRune(r)
		count++
	}
	return plain.String()
}
