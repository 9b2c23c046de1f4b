package costs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/cpu"
)

// programCost is what one run of the sampling program took, in ns by the kernel's
// run-time statistics, and the depth of the stacks it walked.
type programCost struct {
	perRun       Estimate
	user, kernel float64 // frames, the medians
}

// measureProgram runs the sampler on the target's CPUs while the target keeps them
// busy, and divides the program's run time by its runs in each interval.
func measureProgram(ctx context.Context, t target, depth int, mode string, frequency, intervals int, interval time.Duration) (cost programCost, err error) {
	stop, pids, err := t.keepBusy(ctx, depth, mode)
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return cost, fmt.Errorf("turning on eBPF run-time statistics: %w", err)
	}
	defer stats.Close()
	shared, err := core.Load(0)
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	u, err := openUnwinding(shared)
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, u.close()) }()
	sampler, err := cpu.Open(shared, t.cpus, frequency)
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, sampler.Close()) }()
	depths, err := watchDepths(shared.Events(), u, pids)
	if err != nil {
		return cost, err
	}
	perRun, err := intervalCosts(ctx, sampler, intervals, interval)
	user, kernel, watchErr := depths.end()
	if err = errors.Join(err, watchErr); err != nil {
		return cost, err
	}
	return programCost{Median(perRun), Median(user).Median, Median(kernel).Median}, nil
}

func intervalCosts(ctx context.Context, sampler *cpu.Sampler, intervals int, interval time.Duration) ([]float64, error) {
	var perRun []float64
	runs, spent, err := sampler.Cost()
	if err != nil {
		return nil, err
	}
	for range intervals {
		if err := sleep(ctx, interval); err != nil {
			return nil, err
		}
		moreRuns, moreSpent, err := sampler.Cost()
		if err != nil {
			return nil, err
		}
		if moreRuns == runs {
			return nil, fmt.Errorf("the program did not run once in %v on busy CPUs", interval)
		}
		perRun = append(perRun, float64(moreSpent-spent)/float64(moreRuns-runs))
		runs, spent = moreRuns, moreSpent
	}
	return perRun, nil
}

// depthWatch empties the ring buffer like the collector does, and notes how deep
// the target's stacks are.
type depthWatch struct {
	reader       *ringbuf.Reader
	unwinding    *unwinding
	done         sync.WaitGroup
	user, kernel []float64
	err          error
}

func watchDepths(events *ebpf.Map, u *unwinding, pids []int) (*depthWatch, error) {
	reader, err := ringbuf.NewReader(events)
	if err != nil {
		return nil, fmt.Errorf("opening the ring buffer: %w", err)
	}
	w := &depthWatch{reader: reader, unwinding: u}
	w.done.Go(func() { w.err = w.watch(pids) })
	return w, nil
}

func (w *depthWatch) watch(pids []int) error {
	const interval = 100 * time.Millisecond // the collector's
	var record ringbuf.Record
	for {
		w.reader.SetDeadline(time.Now().Add(interval))
		err := w.reader.ReadInto(&record)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Is(err, ringbuf.ErrFlushed):
			return nil
		case err != nil:
			return fmt.Errorf("reading the ring buffer: %w", err)
		}
		sample, err := cpu.Decode(record.RawSample)
		if err != nil {
			continue // a stack's memory
		}
		if w.unwinding.missed(sample.Walked); sample.End != bpf.CoreUnwindEndUNWIND_COMPLETE {
			continue // at the start, when tables are still being loaded
		}
		if slices.Contains(pids, int(sample.Process.PID)) {
			w.user = append(w.user, float64(len(sample.User)))
			w.kernel = append(w.kernel, float64(len(sample.Kernel)))
		}
	}
}

// end stops watching and returns the number of frames of each sample.
func (w *depthWatch) end() (user, kernel []float64, err error) {
	err = w.reader.Flush()
	w.done.Wait()
	return w.user, w.kernel, errors.Join(err, w.err, w.reader.Close())
}
