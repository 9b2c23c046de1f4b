package main

import "fmt"

// probeFlags bound what is done to the programs under observation.
type probeFlags struct {
	MaxSlowdown float64 `default:"10" placeholder:"PERCENT" help:"What probes may add to a program's CPU time. They tell where goroutines of Go programs wait, in the processes that are selected or services, and of allocations. 0: no probes."`
}

// validate refuses what is no share.
func (f probeFlags) validate() error {
	if !(f.MaxSlowdown >= 0) {
		return fmt.Errorf("a slowdown of at most %v %%: use 0 or more", f.MaxSlowdown)
	}
	return nil
}

// share is what the collector takes.
func (f probeFlags) share() float64 {
	if f.MaxSlowdown == 0 {
		return -1
	}
	return f.MaxSlowdown / 100
}
