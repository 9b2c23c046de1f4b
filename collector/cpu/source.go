package cpu

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unit is what a source's period, and so a sample's weight, counts.
type Unit string

// The units of weights.
const (
	Nanoseconds Unit = "nanoseconds"
	Cycles      Unit = "cycles"
)

// Source is a perf event that can tick.
type Source struct {
	Name  string
	Needs string // what a host must have, for people
	Unit  Unit
	// Checked sources are compared with cpu-clock before they are trusted:
	// hypervisors are known to offer counters that do not count.
	Checked bool

	kind   uint32
	config uint64
}

// Sources is every source, the preferred first: cycles arrive by NMI and so see
// code that has interrupts off; cpu-clock, a timer, works everywhere.
func Sources() []Source {
	return []Source{
		{
			Name: "cycles", Needs: "a hardware PMU", Unit: Cycles, Checked: true,
			kind: unix.PERF_TYPE_HARDWARE, config: unix.PERF_COUNT_HW_CPU_CYCLES,
		},
		{
			Name: "cpu-clock", Needs: "high-resolution timers", Unit: Nanoseconds,
			kind: unix.PERF_TYPE_SOFTWARE, config: unix.PERF_COUNT_SW_CPU_CLOCK,
		},
	}
}

// Probe opens the source for a moment and tells why it cannot be, if so.
func (s Source) Probe() error {
	fd, err := s.open(0, 99)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// open starts the source, disabled, on one CPU for all that runs there.
func (s Source) open(cpu, frequency int) (int, error) {
	attr := unix.PerfEventAttr{
		Type:   s.kind,
		Config: s.config,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample: uint64(frequency),
		Bits:   unix.PerfBitDisabled | unix.PerfBitFreq | unix.PerfBitExcludeHv,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("opening %s on CPU %d: %w", s.Name, cpu, err)
	}
	return fd, nil
}
