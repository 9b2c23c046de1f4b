package unwind

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
)

// Forks is the program that gives forked children their parents' mappings.
type Forks struct {
	Backend  string
	Attempts []ForkAttempt
	program  *ebpf.Program
	link     link.Link
}

// ForkAttempt is a kind of hook that was tried; Err is nil for the one in use.
type ForkAttempt struct {
	Backend string
	Err     error
}

// OpenForks attaches the program by the first kind of hook that works, in the order
// of their cost. Without it children are described to the kernel when they are first
// sampled, as other processes are.
func OpenForks(c *core.Core) (*Forks, error) {
	f := &Forks{}
	var failures []error
	for _, backend := range []struct{ name, program string }{
		{"tp_btf/sched_process_fork", "fork_btf"},
		{"raw_tp/sched_process_fork", "fork_raw"},
	} {
		err := f.attach(c, backend.program)
		f.Attempts = append(f.Attempts, ForkAttempt{backend.name, err})
		if err == nil {
			f.Backend = backend.name
			return f, nil
		}
		failures = append(failures, fmt.Errorf("attaching to %s: %w", backend.name, err))
	}
	return f, errors.Join(failures...)
}

func (f *Forks) attach(c *core.Core, name string) error {
	spec, err := bpf.LoadFork()
	if err != nil {
		return err
	}
	for other := range spec.Programs {
		if other != name {
			delete(spec.Programs, other)
		}
	}
	programs, err := c.LoadPrograms(spec)
	if err != nil {
		return err
	}
	f.program = programs[name]
	if f.program.Type() == ebpf.Tracing {
		f.link, err = link.AttachTracing(link.TracingOptions{Program: f.program})
	} else {
		f.link, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sched_process_fork", Program: f.program})
	}
	if err != nil {
		return errors.Join(err, f.program.Close())
	}
	return nil
}

// Close detaches the program.
func (f *Forks) Close() error {
	if f.link == nil {
		return nil
	}
	return errors.Join(f.link.Close(), f.program.Close())
}
