package cpu

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The check runs both sources on a busy CPU at a rate at which this many ticks
// make a fifth of them no accident.
const (
	parityFrequency = 997
	parityDuration  = 200 * time.Millisecond
	parityTolerance = 0.2
)

// ErrParity says that a source ticked too often or too rarely to be believed.
var ErrParity = errors.New("does not tick like cpu-clock")

// checkParity spins on one CPU and compares how often the source ticks there with
// cpu-clock, by the number of runs of the program each one caused.
func checkParity(source Source, program *ebpf.Program, cpu int) error {
	if err := source.Probe(); err != nil {
		return err
	}
	sources := Sources()
	clock := sources[len(sources)-1]
	want, err := ticks(clock, program, cpu)
	if err != nil {
		return err
	}
	got, err := ticks(source, program, cpu)
	if err != nil {
		return err
	}
	if diff := float64(got) - float64(want); want == 0 || diff < -parityTolerance*float64(want) || diff > parityTolerance*float64(want) {
		return fmt.Errorf("%s: %w: %d ticks where cpu-clock has %d", source.Name, ErrParity, got, want)
	}
	return nil
}

// ticks counts how often the program runs while this thread spins on the CPU.
func ticks(source Source, program *ebpf.Program, cpu int) (uint64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return 0, fmt.Errorf("reading the affinity: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return 0, fmt.Errorf("moving to CPU %d: %w", cpu, err)
	}
	defer unix.SchedSetaffinity(0, &before)

	fd, err := attach(source, program, cpu, parityFrequency)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	start, err := runs(program)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return 0, fmt.Errorf("starting %s on CPU %d: %w", source.Name, cpu, err)
	}
	for deadline := time.Now().Add(parityDuration); time.Now().Before(deadline); {
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_DISABLE, 0); err != nil {
		return 0, fmt.Errorf("stopping %s on CPU %d: %w", source.Name, cpu, err)
	}
	end, err := runs(program)
	return end - start, err
}

func runs(program *ebpf.Program) (uint64, error) {
	stats, err := program.Stats()
	if err != nil {
		return 0, fmt.Errorf("counting runs: %w", err)
	}
	return stats.RunCount, nil
}
