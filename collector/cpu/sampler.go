package cpu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
)

// Sampler is the running program on all CPUs.
type Sampler struct {
	source   Source
	attempts []Attempt
	objects  bpf.CPUObjects
	events   []int // perf event descriptors, one a CPU
	cost     time.Duration
	costErr  error
}

// Attempt is one source that was tried and what came of it.
type Attempt struct {
	Source string
	Err    error // nil for the one in use
}

// Open loads the program and starts it on the given CPUs, at frequency samples a
// second each, with the first source that works. It needs CAP_PERFMON and CAP_BPF.
func Open(c *core.Core, cpus []int, frequency int) (*Sampler, error) {
	s := &Sampler{}
	if err := s.load(c); err != nil {
		return nil, fmt.Errorf("loading the CPU sampler: %w", err)
	}
	var failures []error
	for _, source := range Sources() {
		err := s.try(source, cpus, frequency)
		s.attempts = append(s.attempts, Attempt{Source: source.Name, Err: err})
		if err == nil {
			s.source = source
			return s, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(errors.Join(failures...), s.Close())
}

// load loads the program, told where this kernel idles.
func (s *Sampler) load(c *core.Core) error {
	spec, err := bpf.LoadCPU()
	if err != nil {
		return err
	}
	var variables bpf.CPUVariableSpecs
	if err := spec.Assign(&variables); err != nil {
		return err
	}
	var ranges [maxIdleRanges]codeRange
	count := copy(ranges[:], idleCode())
	if err := variables.IdleCode.Set(ranges); err != nil {
		return err
	}
	if err := variables.IdleRanges.Set(uint32(count)); err != nil {
		return err
	}
	return c.LoadAndAssign(spec, &s.objects)
}

// try opens, checks and starts one source everywhere, or leaves nothing of it.
func (s *Sampler) try(source Source, cpus []int, frequency int) error {
	if source.Checked {
		if err := checkParity(source, s.objects.CpuTick, cpus[0]); err != nil {
			return err
		}
	}
	// A host may refuse so fast a clock (kernel.perf_event_max_sample_rate); that is
	// no reason not to record.
	s.cost, s.costErr = interruptCost(source, s.objects.CpuTick)
	for _, cpu := range cpus {
		fd, err := attach(source, s.objects.CpuTick, cpu, frequency)
		if err != nil {
			return errors.Join(err, s.closeEvents())
		}
		s.events = append(s.events, fd)
	}
	if err := s.objects.Recording.Set(uint32(1)); err != nil {
		return errors.Join(fmt.Errorf("telling the program to record: %w", err), s.closeEvents())
	}
	for i, fd := range s.events {
		if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
			return errors.Join(fmt.Errorf("starting %s on CPU %d: %w", source.Name, cpus[i], err), s.closeEvents())
		}
	}
	return nil
}

func attach(source Source, program *ebpf.Program, cpu, frequency int) (int, error) {
	fd, err := source.open(cpu, frequency)
	if err != nil {
		return -1, err
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, program.FD()); err != nil {
		return -1, errors.Join(fmt.Errorf("attaching to %s on CPU %d: %w", source.Name, cpu, err), unix.Close(fd))
	}
	return fd, nil
}

// Source is the source in use.
func (s *Sampler) Source() Source { return s.source }

// InterruptCost is what one tick takes from the CPU it comes to, as measured when
// the sampler was started; 0 on a machine too busy to tell, or with the error that
// kept it from being measured.
func (s *Sampler) InterruptCost() (time.Duration, error) { return s.cost, s.costErr }

// Attempts tells what was tried, in order.
func (s *Sampler) Attempts() []Attempt { return s.attempts }

// Count is the sum of all events so far in the source's unit, those between
// samples included.
func (s *Sampler) Count() (uint64, error) {
	var total uint64
	for _, fd := range s.events {
		var value [8]byte
		if _, err := unix.Read(fd, value[:]); err != nil {
			return 0, fmt.Errorf("reading the count of %s: %w", s.source.Name, err)
		}
		total += binary.NativeEndian.Uint64(value[:])
	}
	return total, nil
}

// Cost is what the program took so far; it is counted only while BPF statistics
// are on (ebpf.EnableStats).
func (s *Sampler) Cost() (runs uint64, spent time.Duration, err error) {
	return core.Cost(s.objects.CpuTick)
}

// Stop ends the ticks; samples in the ring buffer stay.
func (s *Sampler) Stop() error {
	var failures []error
	for _, fd := range s.events {
		if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_DISABLE, 0); err != nil {
			failures = append(failures, fmt.Errorf("stopping %s: %w", s.source.Name, err))
		}
	}
	return errors.Join(failures...)
}

// Close detaches and frees everything.
func (s *Sampler) Close() error {
	return errors.Join(s.closeEvents(), s.objects.Close())
}

func (s *Sampler) closeEvents() error {
	var failures []error
	for _, fd := range s.events {
		failures = append(failures, unix.Close(fd))
	}
	s.events = nil
	return errors.Join(failures...)
}
