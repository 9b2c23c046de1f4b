package core

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
)

// Cost is what programs took so far, all together; it is counted only while BPF statistics
// are on (ebpf.EnableStats).
func Cost(programs ...*ebpf.Program) (runs uint64, spent time.Duration, err error) {
	for _, p := range programs {
		stats, err := p.Stats()
		if err != nil {
			return 0, 0, fmt.Errorf("reading the run time of %v: %w", p, err)
		}
		runs += stats.RunCount
		spent += stats.Runtime
	}
	return runs, spent, nil
}

// Detach closes the links of programs.
func Detach[L io.Closer](links []L) error {
	var failures []error
	for _, l := range links {
		failures = append(failures, l.Close())
	}
	return errors.Join(failures...)
}
