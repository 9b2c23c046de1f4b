package costs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/fault"
)

// How many pages are touched at once, and how often.
const (
	faultPages  = 16_384 // 64 MB
	faultRounds = 24
)

// faults measures what the programs on page faults add to one that brings in a page of zeros,
// which takes as little as a fault can. Faults with and without them alternate. Nobody reads
// the ring buffer, which is emptied by being made anew: the first faults of each round are
// sent with their stacks, as in any burst, and the others are counted.
func (b *bench) faults(ctx context.Context) error {
	var with, without, ratio []float64
	for round := 0; round < faultRounds; round++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		bare, watched, err := faultRound(round%2 == 1)
		if err != nil {
			return err
		}
		without, with = append(without, bare), append(with, watched)
		ratio = append(ratio, 100*(watched/bare-1))
	}
	b.table.add("a page fault, bare", "ns", Median(without))
	b.table.add("a page fault, added by the programs", "ns", Median(differences(with, without)))
	b.table.add("slowdown of a thread that does nothing but touch new memory, by the programs", "%", Median(ratio))
	return nil
}

// faultRound times faults once without the programs and once with them, or the other way
// round.
func faultRound(watchedFirst bool) (bare, watched float64, err error) {
	if !watchedFirst {
		if bare, err = timeFaults(); err != nil {
			return 0, 0, err
		}
	}
	if watched, err = timeWatchedFaults(); err != nil || !watchedFirst {
		return bare, watched, err
	}
	bare, err = timeFaults()
	return bare, watched, err
}

func timeWatchedFaults() (ns float64, err error) {
	shared, err := core.Load(0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	if err := shared.ForgetStacks(); err != nil {
		return 0, err
	}
	watcher, err := fault.Open(shared)
	if err != nil {
		return 0, fmt.Errorf("watching page faults: %w", err)
	}
	ns, err = timeFaults()
	return ns, errors.Join(err, watcher.Close())
}

// timeFaults is the CPU time of one page fault in ns.
func timeFaults() (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	size := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, faultPages*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, fmt.Errorf("mapping memory: %w", err)
	}
	if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil {
		return 0, errors.Join(fmt.Errorf("asking for small pages: %w", err), unix.Munmap(memory))
	}
	from := threadTime()
	for i := range faultPages {
		memory[i*size] = 1
	}
	took := float64(threadTime()-from) / faultPages
	return took, unix.Munmap(memory)
}
