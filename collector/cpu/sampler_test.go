package cpu

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/core"
)

// sampler loads the program and its maps, with run-time statistics on.
func sampler(t *testing.T) *Sampler {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading eBPF programs needs root")
	}
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stats.Close() })
	c, err := core.Load(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &Sampler{}
	if err := s.load(c); err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The check that hardware cycles must pass is tried with sources that exist
// everywhere: the clock against itself, and an event that a spinning CPU never has.
func TestParity(t *testing.T) {
	s := sampler(t)
	sources := Sources()
	clock := sources[len(sources)-1]
	const tries = 10 // a tick can be late or stolen on a busy machine, but not always
	err := checkParity(clock, s.objects.CpuTick, 0)
	for try := 1; errors.Is(err, ErrParity) && try < tries; try++ {
		t.Log(err)
		err = checkParity(clock, s.objects.CpuTick, 0)
	}
	if err != nil {
		t.Errorf("cpu-clock does not tick like itself: %v", err)
	}
	silent := Source{Name: "emulation-faults", kind: unix.PERF_TYPE_SOFTWARE, config: unix.PERF_COUNT_SW_EMULATION_FAULTS}
	if err := checkParity(silent, s.objects.CpuTick, 0); !errors.Is(err, ErrParity) {
		t.Errorf("an event that never ticks was taken for a clock: %v", err)
	}
	absent := Source{Name: "absent", kind: 12345}
	if err := checkParity(absent, s.objects.CpuTick, 0); err == nil || errors.Is(err, ErrParity) {
		t.Errorf("an event that does not exist: %v", err)
	}
}

// A source that fails leaves nothing open, and the next one is taken.
func TestFallsBackToClock(t *testing.T) {
	s := sampler(t)
	if err := s.try(Source{Name: "absent", kind: 12345}, []int{0}, 99); err == nil {
		t.Fatal("an event that does not exist was opened")
	}
	if len(s.events) != 0 {
		t.Errorf("%d events left open", len(s.events))
	}
	sources := Sources()
	if err := s.try(sources[len(sources)-1], []int{0}, 99); err != nil {
		t.Fatal(err)
	}
	if len(s.events) != 1 {
		t.Errorf("%d events open on one CPU", len(s.events))
	}
}

// A clock whose cost cannot be measured can still be recorded with.
func TestUnknownInterruptCostIsNoFailure(t *testing.T) {
	s := sampler(t)
	if _, err := interruptCost(Source{Name: "absent", kind: 12345}, s.objects.CpuTick); err == nil {
		t.Error("the cost of an event that does not exist was measured")
	}
	sources := Sources()
	if err := s.try(sources[len(sources)-1], []int{0}, 99); err != nil {
		t.Fatal(err)
	}
	if cost, err := s.InterruptCost(); err != nil || cost < 0 {
		t.Errorf("a tick costs %v, %v", cost, err)
	}
}

// The cost of a tick is what goes missing beside it, and one disturbed round of three
// changes nothing.
func TestTickCost(t *testing.T) {
	const us = time.Microsecond
	quiet := spun{away: 80 * us}
	for name, test := range map[string]struct {
		bare, ticked [costRounds]spun
		want         time.Duration
	}{
		"three alike": {
			[costRounds]spun{quiet, quiet, quiet},
			[costRounds]spun{{32, 720 * us}, {32, 720 * us}, {32, 720 * us}}, 20 * us,
		},
		"one disturbed": {
			[costRounds]spun{quiet, {away: 4000 * us}, quiet},
			[costRounds]spun{{32, 720 * us}, {32, 720 * us}, {30, 9000 * us}}, 20 * us,
		},
		"too few ticks": {
			[costRounds]spun{quiet, quiet, quiet},
			[costRounds]spun{{32, 720 * us}, {7, 720 * us}, {32, 720 * us}}, 0,
		},
		"less than without": {
			[costRounds]spun{{away: 900 * us}, {away: 900 * us}, {away: 900 * us}},
			[costRounds]spun{{32, 720 * us}, {32, 720 * us}, {32, 720 * us}}, 0,
		},
	} {
		if got := tickCost(test.bare, test.ticked); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// The ticks that a spinning thread is charged with are the program's runs: none come
// without an event. How many come with one depends on how busy the machine is.
func TestSpinCountsTicks(t *testing.T) {
	s := sampler(t)
	sources := Sources()
	clock := sources[len(sources)-1]
	quiet, err := spin(clock, s.objects.CpuTick, 0, 0, 5*time.Millisecond)
	if err != nil || quiet.ticks != 0 {
		t.Errorf("%d ticks without an event, %v", quiet.ticks, err)
	}
	ticked, err := spin(clock, s.objects.CpuTick, 0, 4000, 200*time.Millisecond)
	if err != nil || ticked.ticks == 0 {
		t.Errorf("%d ticks of 800 that were due, %v", ticked.ticks, err)
	}
}
