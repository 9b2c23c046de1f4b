package calibration

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Truth is what Split says of itself: the CPU time of each function, in nanoseconds.
type Truth struct {
	Half  int64 `json:"half_ns"`
	Third int64 `json:"third_ns"`
	Fifth int64 `json:"fifth_ns"`
}

func (t Truth) total() int64 { return t.Half + t.Third + t.Fifth }

// patience is how much longer than its CPU time Split may take where it does not have
// a CPU for itself.
const patience = 4

// Split spends the given CPU time, or less if that takes too long: about half of it
// in the function half itself, three tenths in a leaf that third calls, and a fifth in
// the function fifth, beneath others. It writes its Truth to out as JSON.
func Split(cpu time.Duration, out io.Writer) error {
	runtime.LockOSThread() // the clock is one thread's
	defer runtime.UnlockOSThread()
	end := time.Now().Add(patience * cpu)
	var truth Truth
	random := rand.New(rand.NewPCG(uint64(end.UnixNano()), 1))
	for truth.total() < int64(cpu) && time.Now().Before(end) {
		// A cycle of one length could beat with the ticks.
		slice := time.Duration((0.5 + random.Float64()) * float64(time.Millisecond))
		truth.Half += timed(half, 5*slice)
		truth.Third += timed(third, 3*slice)
		truth.Fifth += timed(fifth, 2*slice)
	}
	if err := json.NewEncoder(out).Encode(truth); err != nil {
		return fmt.Errorf("writing what the time was spent on: %w", err)
	}
	return nil
}

// timed returns how much CPU time a part really took.
func timed(part func(until time.Duration), length time.Duration) int64 {
	start := threadTime()
	part(start + length)
	return int64(threadTime() - start)
}

// threadTime is the CPU time of this thread so far.
func threadTime() time.Duration {
	var now unix.Timespec
	// This clock exists wherever Narrows runs; without it no part would end before
	// Split's patience.
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now)
	return time.Duration(now.Nano())
}

// rounds of work between two looks at the clock: some 50 us, so that the looks
// themselves hardly count.
const rounds = 50_000

// half works by itself.
//
//go:noinline
func half(until time.Duration) {
	x := uint64(1)
	for threadTime() < until {
		for range rounds {
			x = x*6364136223846793005 + 1442695040888963407
		}
	}
	runtime.KeepAlive(x) // or the compiler might drop the work
}

// third lets a function work that calls nothing: compilers give such a leaf no frame
// of its own.
//
//go:noinline
func third(until time.Duration) {
	x := uint64(1)
	for threadTime() < until {
		x = leaf(x)
	}
	runtime.KeepAlive(x)
}

//go:noinline
func leaf(x uint64) uint64 {
	for range rounds {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

// fifth works some frames deeper.
//
//go:noinline
func fifth(until time.Duration) { deeper(until, 8) }

//go:noinline
func deeper(until time.Duration, levels int) {
	if levels > 0 {
		deeper(until, levels-1)
		return
	}
	x := uint64(1)
	for threadTime() < until {
		for range rounds {
			x = x*6364136223846793005 + 1442695040888963407
		}
	}
	runtime.KeepAlive(x)
}
