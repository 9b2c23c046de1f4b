package cpu

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// spun is what a thread that only looks at the clock saw of its CPU.
type spun struct {
	ticks uint64        // runs of the program
	away  time.Duration // time taken from the thread by interrupts
}

// A look at the clock takes tens of nanoseconds. A gap longer than interrupted was
// an interrupt; one longer than preempted was another thread's turn.
const (
	interrupted = time.Microsecond
	preempted   = time.Millisecond
)

// spin looks at the clock on one CPU for a while, with the source ticking there at
// the frequency; with no frequency, undisturbed by it.
func spin(source Source, program *ebpf.Program, cpu, frequency int, duration time.Duration) (s spun, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return s, fmt.Errorf("reading the affinity: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return s, fmt.Errorf("moving to CPU %d: %w", cpu, err)
	}
	defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &before)) }()

	start, err := runs(program)
	if err != nil {
		return s, err
	}
	if frequency > 0 {
		fd, err := attach(source, program, cpu, frequency)
		if err != nil {
			return s, err
		}
		defer unix.Close(fd)
		if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
			return s, fmt.Errorf("starting %s on CPU %d: %w", source.Name, cpu, err)
		}
	}
	s.away = watchClock(duration)
	end, err := runs(program)
	s.ticks = end - start
	return s, err
}

// watchClock adds up the gaps that interrupts leave between looks at the clock.
func watchClock(duration time.Duration) (away time.Duration) {
	start := time.Now()
	for last := time.Duration(0); last < duration; {
		now := time.Since(start)
		if gap := now - last; gap > interrupted && gap < preempted {
			away += gap
		}
		last = now
	}
	return away
}

func runs(program *ebpf.Program) (uint64, error) {
	stats, err := program.Stats()
	if err != nil {
		return 0, fmt.Errorf("counting runs: %w", err)
	}
	return stats.RunCount, nil
}

// allowedCPU is the first CPU that this process may run on: a cpuset can forbid others.
func allowedCPU() (int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, fmt.Errorf("reading the affinity: %w", err)
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			return cpu, nil
		}
	}
	return 0, errors.New("this process may run on no CPU")
}

// interruptCost measures what one tick takes from the CPU it comes to, the program
// included: the time that goes missing with a fast clock less that without. It
// returns 0 where the machine is too busy to tell.
func interruptCost(source Source, program *ebpf.Program) (time.Duration, error) {
	cpu, err := allowedCPU()
	if err != nil {
		return 0, err
	}
	const (
		duration  = 8 * time.Millisecond
		frequency = 4000
	)
	var bare, ticked [costRounds]spun
	for round := range costRounds {
		if bare[round], err = spin(source, program, cpu, 0, duration); err != nil {
			return 0, err
		}
		if ticked[round], err = spin(source, program, cpu, frequency, duration); err != nil {
			return 0, err
		}
	}
	return tickCost(bare, ticked), nil
}

const (
	// costRounds are measured to take their median.
	costRounds = 3
	// enoughTicks, of the 32 that are due in a round, make it count.
	enoughTicks = 8
)

// tickCost is the median over the rounds of what each tick took beyond what goes
// missing without ticks; 0 if too few ticks came in any of them.
func tickCost(bare, ticked [costRounds]spun) time.Duration {
	var costs [costRounds]time.Duration
	for i := range costs {
		if ticked[i].ticks < enoughTicks {
			return 0
		}
		costs[i] = (ticked[i].away - bare[i].away) / time.Duration(ticked[i].ticks)
	}
	slices.Sort(costs[:])
	return max(costs[costRounds/2], 0)
}
