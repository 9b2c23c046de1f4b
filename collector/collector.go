// Package collector records what the machine does: it loads the eBPF programs,
// follows the processes, and gives out one set of pprof profiles for each window
// of time, with build IDs and ELF addresses but without names.
//
// Events come from two sides, the programs' ring buffer and the kernel's process
// records, each with its time. They are held for two seconds, ordered, and applied
// one by one to a table of processes, so that a sample is resolved with the
// mappings its process had at that moment and labelled with the phase the
// benchmark was in. What samples do not account for is computed from the CPUs'
// non-idle time and part of the profile as "[lost: missed ticks]".
//
//	collector/lifecycle   forks, execs, mappings, exits: the kernel's records
//	collector/process     identity, mappings, files
//	collector/jit         names of code that programs make while they run
//	collector/core        the maps all programs share
//	collector/unwind      what the kernel's walker of user stacks goes by
//	collector/cpu         the CPU sampler
//	collector/wait        where threads wait, and who ends it
//	collector/golock      where goroutines wait, by probes in Go programs
//	collector/alloc       where memory is allocated, and what is never freed
//	collector/living      how much lived of that at what time
//	collector/goheap      the same of Go programs, from the profile that they keep
//	collector/probesite   where in a function a probe is put
//	collector/lock        which locks were waited for, and who held them
//	collector/kernellock  those of the kernel
//	collector/futex       locks of user space, from futex calls
//	collector/fault       which code makes memory resident
//	collector/kernelalloc where the kernel allocates memory for itself
//	collector/replay      the order of time; what benchmark ran when
//	collector/accounting  how much CPU time there was
//	collector/window      samples into pprof
package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/fault"
	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/replay"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// Signal is one kind of what is recorded; each window has a profile of it.
type Signal string

// The signals.
const (
	CPU    Signal = "cpu"    // samples/count, cpu/nanoseconds
	OffCPU Signal = "offcpu" // waits/count, offcpu/nanoseconds
	// The next three describe the same seconds: they are never added.
	LockWait  Signal = "lock-wait"  // contentions/count, delay/nanoseconds: the stacks that waited
	LockBlame Signal = "lock-blame" // the same: the stacks that let go after making others wait
	LockHeld  Signal = "lock-held"  // blame/nanoseconds: what holders did while others waited
	// Alloc has Go's heap profile's four types. What is in use is in the last window; that of
	// Go programs is all that they have in use, what they allocated before the recording too.
	Alloc Signal = "alloc"
)

// Fault is what made memory resident: faults/count, resident/bytes.
const Fault Signal = "fault"

// KernelAlloc is what the kernel allocated for itself, with Go's heap profile's four types.
// What is in use is in the last window.
const KernelAlloc Signal = "kernel-alloc"

// Window is what was recorded in one stretch of time.
type Window struct {
	Index      int
	Start, End time.Time
	Profiles   map[Signal]*profile.Profile
	// Locks are the locks that were waited for, by ID, and Edges who waited for whom; nil
	// if waits are not recorded.
	Locks map[string]*lock.Lock
	Edges map[lock.EdgeKey]*lock.Edge
	// Programs has, of the processes whose threads were seen and that were forked without an
	// exec, the first process that runs the same program.
	Programs map[uint32]uint32
	// Deadlocks are those that there were when waits under way were looked at last.
	Deadlocks  []lock.Cycle
	Accounting []accounting.CPU // of the whole machine, whatever was selected
	// Live are the places whose memory lives at the end: in the last window, nil if there are none.
	Live *LiveSites
}

// Collector is a recording under way.
type Collector struct {
	config   Config
	clock    *accounting.Clock
	stats    io.Closer // eBPF run-time statistics
	core     *core.Core
	stream   *lifecycle.Stream
	binaries *process.Binaries
	jit      *jit.Watcher
	tables   *unwind.Tables
	tracker  *unwind.Tracker
	forks    *unwind.Forks
	forksErr error
	sampler  *cpu.Sampler
	waits    *wait.Watcher  // nil if waits are not recorded
	waitsErr error          // why not, if they were wanted
	futexes  *futex.Watcher // nil if locks of user space are not told apart
	futexErr error          // why not, if waits are recorded
	// kernelLocks is how the kernel's locks are watched, nil if waits are not recorded.
	kernelLocks *kernelLocks
	// goroutines is nil if their waits are not recorded; goroutinesErr is why not, if they
	// were wanted.
	goroutines    *goroutines
	goroutinesErr error
	// allocs is nil if allocations are not recorded; allocsErr is why not, if they should be.
	allocs    *allocs
	allocsErr error
	faults    *fault.Watcher // nil if page faults are not recorded
	faultsErr error          // why not, if they were wanted
	// kernelAllocs is nil if the kernel's own memory is not recorded; kernelAllocsErr is why
	// not, if it should be.
	kernelAllocs    *kernelalloc.Watcher
	kernelAllocsErr error
	events          *ringbuf.Reader

	queue    replay.Queue[any]
	timeline replay.Timeline
	replayer *replayer
	windows  chan Window

	memory memoryBudget
	later  []unwind.Event         // of the next batch; the reader's of process records
	asleep map[int]*unwind.Memory // of the start, waiting for its stack

	stop    context.CancelFunc
	readers sync.WaitGroup // of the kernel's events
	replays sync.WaitGroup

	mu        sync.Mutex
	failures  []error
	malformed uint64
	unscanned []int
}

// Start begins a recording. It needs root, or CAP_BPF, CAP_PERFMON,
// CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, on Linux 6.1 or later with BTF. The
// windows must be received, or the recording grows in memory until Stop.
func Start(config Config) (*Collector, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	c := &Collector{config: config, windows: make(chan Window, 1), asleep: map[int]*unwind.Memory{}, stop: func() {}}
	if err := c.open(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.start()
	return c, nil
}

// open acquires everything; the sampler comes last, so that the processes are
// known before the first sample.
func (c *Collector) open() error {
	var err error
	if c.clock, err = accounting.NewClock(); err != nil {
		return err
	}
	reading, err := c.clock.Read()
	if err != nil {
		return err
	}
	cpus := slices.Sorted(maps.Keys(reading.CPUs))
	if c.core, err = core.Load(c.config.UnwindMemory / 8); err != nil {
		return err
	}
	if c.stats, err = ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME)); err != nil {
		return fmt.Errorf("turning on eBPF run-time statistics: %w", err)
	}
	if c.stream, err = lifecycle.Open(cpus); err != nil {
		return err
	}
	c.binaries = process.NewBinaries()
	scanned, unreadable, err := process.Scan(c.binaries)
	if err != nil {
		return err
	}
	c.unscanned = unreadable
	c.jit = jit.New(accounting.Monotonic)
	for _, s := range scanned {
		if slices.ContainsFunc(s.Mappings, func(m process.Mapping) bool { return jit.Anonymous(m.Binary.Path) }) {
			c.jit.Watch(s.PID)
		}
	}
	if c.events, err = ringbuf.NewReader(c.core.Events()); err != nil {
		return fmt.Errorf("opening the ring buffer: %w", err)
	}
	if err = c.openUnwinding(scanned); err != nil {
		return err
	}
	if c.sampler, err = cpu.Open(c.core, cpus, c.config.Frequency); err != nil {
		return err
	}
	c.replayer = c.newReplayer(scanned)
	if err = c.core.ForgetStacks(); err != nil {
		return err
	}
	if err = c.openWaits(); err != nil {
		return err
	}
	c.openFaults()
	if err = c.openGoroutines(scanned); err != nil {
		return err
	}
	c.openAllocs(scanned)
	c.openKernelAllocs()
	return c.mark(scheduled)
}

// openUnwinding makes ready what the walker of user stacks goes by.
func (c *Collector) openUnwinding(scanned []process.Scanned) error {
	var err error
	if c.tables, err = unwind.NewTables(c.core); err != nil {
		return err
	}
	if c.tracker, err = unwind.NewTracker(c.core, c.tables, scanned, c.rescan); err != nil {
		return err
	}
	// Without it children are described when they are sampled first: no reason to fail.
	c.forks, c.forksErr = unwind.OpenForks(c.core)
	return nil
}

// openWaits begins to watch waits, where this kernel lets it.
func (c *Collector) openWaits() error {
	if !c.config.Waits {
		return nil
	}
	if c.waits, c.waitsErr = wait.Open(c.core); c.waitsErr != nil {
		return nil // the report says so
	}
	c.replayer.offCPU = newOffCPU(c.config.Kernel)
	c.openKernelLocks()
	c.openFutexes()
	return c.waits.Asleep(func(record []byte) { c.event(record, c.asleep) })
}

// cut gives out the waits under way up to now, so that nothing is known later than when
// it began by more than an interval.
func (c *Collector) cut(now uint64) error {
	if c.replayer.stacks() == nil {
		return nil
	}
	err := c.core.ForgetStacks()
	if c.waits == nil {
		c.queue.Push(now, nextGeneration{})
		return err
	}
	memories := map[int]*unwind.Memory{}
	read := func(record []byte) { c.event(record, memories) }
	err = errors.Join(err, c.kernelLocks.cut(now, read), c.waits.Cut(now, read))
	c.queue.Push(now, nextGeneration{})
	return errors.Join(err, c.readLockSums(now))
}

// rescan reads one process again, where events about it turn out to be missing.
func (c *Collector) rescan(pid uint32) (process.Scanned, bool) {
	return process.ScanOne(pid, c.binaries)
}

func (c *Collector) newReplayer(scanned []process.Scanned) *replayer {
	tickCost, _ := c.sampler.InterruptCost() // 0 if unknown; the report says why
	started, startedMonotonic := time.Now(), accounting.Monotonic()
	r := &replayer{
		queue: &c.queue, timeline: &c.timeline, windows: c.windows,
		table:     process.NewTable(scanned, c.rescan),
		walker:    c.tables,
		memory:    &c.memory,
		source:    c.sampler.Source(),
		period:    time.Second / time.Duration(c.config.Frequency),
		tickCost:  tickCost,
		selection: c.config.Selection,
		cgroups:   map[uint64]bool{},
		names:     c.jit,
		wall: func(monotonic uint64) time.Time {
			return started.Add(time.Duration(int64(monotonic - startedMonotonic)))
		},
		unwinding: map[*process.Binary]*ends{},
	}
	for _, id := range c.config.Selection.Cgroups {
		r.cgroups[id] = true
	}
	for _, pid := range c.config.Selection.PIDs {
		r.table.Assign(uint32(pid), process.Assignment{Selected: true})
	}
	return r
}

func (c *Collector) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	c.readers.Go(func() { c.readSamples() })
	c.readers.Go(func() { c.readLifecycle(ctx) })
	c.replays.Go(func() { c.replay(ctx) })
}

// Windows delivers each window when it is complete, and is closed after the last.
func (c *Collector) Windows() <-chan Window { return c.windows }

// Mark says that from now on this is the benchmark and its phase; empty strings
// end them.
func (c *Collector) Mark(benchmark, phase string) {
	c.MarkAt(accounting.Monotonic(), benchmark, phase)
}

// MarkAt is Mark from a time on that has passed already (see Now). It is not too late
// while the events of that time are held, which is about two seconds.
func (c *Collector) MarkAt(time uint64, benchmark, phase string) {
	c.timeline.Mark(time, benchmark, phase)
}

// Service names a process and its descendants, present and future, as a service.
func (c *Collector) Service(name string, pid int) {
	c.queue.Push(accounting.Monotonic(), assignment{uint32(pid), process.Assignment{Service: name}})
	c.probe(uint32(pid))
}

// Select keeps the samples of a process started after the given time (see Now),
// and of its descendants.
func (c *Collector) Select(pid int, startedAfter uint64) {
	c.queue.Push(startedAfter, assignment{uint32(pid), process.Assignment{Selected: true}})
	c.probe(uint32(pid))
}

// Now is the present time on the clock of all events, CLOCK_MONOTONIC in ns.
func Now() uint64 { return accounting.Monotonic() }

// Binary gives the bytes of the file behind a mapping of a window's profile, as it
// was when it was mapped.
func (c *Collector) Binary(m *profile.Mapping) (io.ReaderAt, int64, error) {
	return c.binaries.Find(m.File, m.BuildID)
}

// DebugFile gives the bytes of the separate debug file of the file behind a mapping of
// a window's profile, if there is one.
func (c *Collector) DebugFile(m *profile.Mapping) (io.ReaderAt, int64, error) {
	return c.binaries.DebugFile(m.File, m.BuildID)
}

// Supplement gives the bytes of the supplementary file that the debug information of the
// file behind a mapping refers to, if there is one.
func (c *Collector) Supplement(m *profile.Mapping) (io.ReaderAt, int64, error) {
	return c.binaries.Supplement(m.File, m.BuildID)
}

// Stop ends the recording, delivers the last window, detaches everything and says
// how it went. The files that Binary gives stay open until Close.
func (c *Collector) Stop() (Report, error) {
	c.waiting()
	err := errors.Join(c.stopAllocs(), c.stopKernelAllocs())
	err = errors.Join(err, c.mark(last))
	if c.waits != nil {
		err = errors.Join(err, c.kernelLocks.stop(), c.waits.Stop())
	}
	if c.futexes != nil {
		err = errors.Join(err, c.futexes.Stop())
	}
	err = errors.Join(err, c.goroutines.stop(), c.stopFaults())
	err = errors.Join(err, c.sampler.Stop(), c.events.Flush())
	c.stop()
	c.readers.Wait()
	c.replays.Wait()
	c.replayer.release(math.MaxUint64)
	close(c.windows)
	report, reportErr := c.report()
	c.mu.Lock()
	defer c.mu.Unlock()
	return report, errors.Join(err, errors.Join(c.failures...), reportErr)
}

// Close frees everything. It is called after Stop, once all windows are named.
func (c *Collector) Close() error { return c.close() }

func (c *Collector) close() error {
	failures := []error{c.kernelLocks.close(), c.goroutines.close(), c.allocs.close(), c.closeFaults(), c.closeKernelAllocs()}
	if c.futexes != nil {
		failures = append(failures, c.futexes.Close())
	}
	if c.waits != nil {
		failures = append(failures, c.waits.Close())
	}
	if c.sampler != nil {
		failures = append(failures, c.sampler.Close())
	}
	if c.forks != nil {
		failures = append(failures, c.forks.Close())
	}
	if c.tracker != nil {
		failures = append(failures, c.tracker.Close())
	}
	if c.tables != nil {
		failures = append(failures, c.tables.Close())
	}
	if c.events != nil {
		failures = append(failures, c.events.Close())
	}
	if c.stream != nil {
		failures = append(failures, c.stream.Close())
	}
	if c.stats != nil {
		failures = append(failures, c.stats.Close())
	}
	if c.core != nil {
		failures = append(failures, c.core.Close())
	}
	if c.jit != nil {
		failures = append(failures, c.jit.Close())
	}
	if c.binaries != nil {
		failures = append(failures, c.binaries.Close())
	}
	return errors.Join(failures...)
}

// mark ends one window and begins the next, or lets it end here, at the moment at
// which the CPUs' times are read.
func (c *Collector) mark(kind boundaryKind) error {
	count, err := c.sampler.Count()
	if err != nil {
		return err
	}
	reading, err := c.clock.Read()
	if err != nil {
		return err
	}
	if kind != possible {
		err = errors.Join(c.cut(reading.Time), c.faultTotals(reading.Time), c.kernelAllocTotals(reading.Time))
	}
	c.queue.Push(reading.Time, boundary{reading: reading, count: count, kind: kind})
	return err
}

func (c *Collector) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, err)
}
