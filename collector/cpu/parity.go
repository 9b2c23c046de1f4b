package cpu

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
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
	want, err := spin(sources[len(sources)-1], program, cpu, parityFrequency, parityDuration)
	if err != nil {
		return err
	}
	got, err := spin(source, program, cpu, parityFrequency, parityDuration)
	if err != nil {
		return err
	}
	diff := float64(got.ticks) - float64(want.ticks)
	if limit := parityTolerance * float64(want.ticks); want.ticks == 0 || diff < -limit || diff > limit {
		return fmt.Errorf("%s: %w: %d ticks where cpu-clock has %d", source.Name, ErrParity, got.ticks, want.ticks)
	}
	return nil
}
