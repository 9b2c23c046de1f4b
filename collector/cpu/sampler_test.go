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
	c, err := core.Load()
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
	if err := checkParity(clock, s.objects.CpuTick, 0); err != nil {
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

// What a tick takes must be more than the program in it takes by the kernel's own
// count, and less than would stop the machine.
func TestInterruptCost(t *testing.T) {
	s := sampler(t)
	sources := Sources()
	cost, err := interruptCost(sources[len(sources)-1], s.objects.CpuTick)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := s.objects.CpuTick.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if cost == 0 {
		t.Log("the machine is too busy to tell")
		return
	}
	program := stats.Runtime / time.Duration(max(stats.RunCount, 1))
	t.Logf("a tick takes %v, the program %v of it", cost, program)
	if cost < program || cost > time.Millisecond {
		t.Errorf("a tick takes %v, the program in it %v", cost, program)
	}
}
