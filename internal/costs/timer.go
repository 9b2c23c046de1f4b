package costs

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Timer is the bare perf event that samples ride on: cpu-clock on each CPU, with no
// program attached and nobody reading. What it costs no profiler can avoid.
type Timer struct {
	Frequency int
	CPUs      []int
}

// Name says what ticks.
func (t Timer) Name() string { return fmt.Sprintf("the timer interrupt alone, %d Hz", t.Frequency) }

// Begin starts the ticks.
func (t Timer) Begin(context.Context) (func() error, error) {
	var events []int
	end := func() error {
		var failures []error
		for _, fd := range events {
			failures = append(failures, unix.Close(fd))
		}
		return errors.Join(failures...)
	}
	for _, cpu := range t.CPUs {
		attr := unix.PerfEventAttr{
			Type:   unix.PERF_TYPE_SOFTWARE,
			Config: unix.PERF_COUNT_SW_CPU_CLOCK,
			Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Sample: uint64(t.Frequency),
			Bits:   unix.PerfBitFreq,
		}
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening cpu-clock on CPU %d: %w", cpu, err), end())
		}
		events = append(events, fd)
	}
	return end, nil
}
