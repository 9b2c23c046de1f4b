package costs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
)

const (
	kernelAllocRounds = 8
	kernelAllocCalls  = 8_000 // of eventfd and close: what is recorded of each fits into a burst
	// knownAfter is how long a recording goes on before its calls are timed: the stacks of this
	// process can be walked then.
	knownAfter = 700 * time.Millisecond
)

// kernelAllocs measures what recording the kernel's allocations adds to a system call that does
// little but allocate, and to its end. Recordings with them and without alternate.
func (b *bench) kernelAllocs(ctx context.Context) error {
	type condition struct {
		name  string
		begin func() (end func() (collector.Report, error), err error)
	}
	conditions := []condition{{"bare", recordKernelAllocs(0)}}
	for _, c := range []struct {
		name string
		mean uint64
	}{
		{fmt.Sprintf("with --kernel-alloc, one for each %d KB", kernelalloc.DefaultMean>>10), kernelalloc.DefaultMean},
		{"with each recorded (--kernel-alloc-rate 1)", 1},
	} {
		conditions = append(conditions, condition{c.name, recordKernelAllocs(c.mean)})
	}
	const peer = "with a bpftrace one-liner that counts at kmalloc, kmem_cache_alloc, kfree and kmem_cache_free"
	if path, err := exec.LookPath("bpftrace"); err != nil {
		b.table.skip("an eventfd and its end "+peer, err)
	} else {
		conditions = append(conditions, condition{peer, func() (func() (collector.Report, error), error) {
			const program = "tracepoint:kmem:kmalloc, tracepoint:kmem:kmem_cache_alloc, tracepoint:kmem:kfree, tracepoint:kmem:kmem_cache_free { @ = count(); }"
			end, err := startPeer(ctx, []string{path, "-e", program})
			return func() (collector.Report, error) { return collector.Report{}, end() }, err
		}})
	}
	measured := make([][]float64, len(conditions))
	var objects []float64
	for range kernelAllocRounds {
		for i, c := range conditions {
			end, err := c.begin()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			ns, err := timeEventfds()
			report, endErr := end()
			if err = errors.Join(err, endErr, ctx.Err()); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			measured[i] = append(measured[i], ns)
			if n := report.KernelAllocs.Slab.Objects; n > 0 && i == 1 {
				objects = append(objects, float64(n)/kernelAllocCalls)
			}
		}
	}
	const what = "an eventfd and its end"
	b.table.add(what+", bare", "ns", Median(measured[0]))
	for i, c := range conditions[1:] {
		b.table.add(what+", added "+c.name, "ns", Median(differences(measured[i+1], measured[0])))
	}
	b.table.add("objects that the whole machine allocated for each of them", "", Median(objects))
	return nil
}

// recordKernelAllocs begins a recording of little else than the kernel's allocations.
func recordKernelAllocs(mean uint64) func() (end func() (collector.Report, error), err error) {
	return func() (func() (collector.Report, error), error) {
		c, err := collector.Start(collector.Config{
			Frequency: 1, Window: time.Minute, KernelAllocMean: mean, Selection: collector.Selection{All: true},
		})
		if err != nil {
			return nil, err
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range c.Windows() { // nobody wants them
			}
		}()
		time.Sleep(knownAfter)
		return func() (collector.Report, error) {
			report, err := c.Stop()
			<-done
			return report, errors.Join(err, c.Close())
		}, nil
	}
}

// timeEventfds is the CPU time of an eventfd and its end in ns.
func timeEventfds() (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	from := threadTime()
	for range kernelAllocCalls {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return 0, fmt.Errorf("making an eventfd: %w", err)
		}
		if err := unix.Close(fd); err != nil {
			return 0, fmt.Errorf("closing an eventfd: %w", err)
		}
	}
	return float64(threadTime()-from) / kernelAllocCalls, nil
}
