// Package fault tells which code makes memory resident: it watches every page fault of the
// machine and the pages that the kernel takes for it.
//
// [Open] loads the programs (bpf/fault.bpf.c); what they send then arrives in the core's
// ring buffer, where [Decode] turns a record into an [Event]. The stack that an event names
// is sent before it, as those of waits are.
//
// A fault's bytes are those that the kernel took for it: whole huge pages, copies of pages
// shared with a parent, what was read from a file or from swap, read ahead included. A page
// that is in the page cache already, or all of zeros, is mapped without taking any: such
// faults have no bytes. Memory that a system call fills before it is touched (MAP_POPULATE,
// mlock) has bytes and no faults. What is not seen: pages of hugetlbfs, which were taken
// when the pool was filled, huge pages that khugepaged makes of small ones later, and what
// is read ahead where the kernel itself touches a file's mapping in a system call.
//
// Most faults are only counted. Where a CPU takes more than some 1,500 pages a second, or
// has more than some 500 faults, one that is sent stands for others: the bytes are cut
// into pieces of equal size, and each is of the stack at a random point of it. So sums are
// exact but for one piece on each CPU, and [Watcher.Totals] knows them exactly.
package fault

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
)

// Backend is the hooks in use. There are no others: software events of page faults tell
// nothing of bytes, and kernels without these tracepoints (arm64) have no other sign of
// where a fault begins.
const Backend = "tp_btf/page_fault_user, tp_btf/page_fault_kernel, tp_btf/mm_page_alloc"

// Watcher is the running programs.
type Watcher struct {
	objects bpf.FaultObjects
	links   []link.Link
}

// Open loads and attaches the programs. It needs CAP_PERFMON and CAP_BPF, and Linux 5.18 on
// x86-64. Before it, [core.Core.ForgetStacks] is called once.
func Open(c *core.Core) (*Watcher, error) {
	w := &Watcher{}
	if err := w.open(c); err != nil {
		return nil, errors.Join(fmt.Errorf("watching page faults: %w", err), w.Close())
	}
	return w, nil
}

func (w *Watcher) open(c *core.Core) error {
	spec, err := bpf.LoadFault()
	if err != nil {
		return err
	}
	if err := set(spec); err != nil {
		return err
	}
	if err := c.LoadAndAssign(spec, &w.objects); err != nil {
		return err
	}
	for _, p := range w.programs() {
		attached, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attaching to %v: %w", p, err)
		}
		w.links = append(w.links, attached)
	}
	return nil
}

// How many events one CPU may send each second in the long run: at 0.5 us for a stack and 2
// to 5 us for an event in user space they are some 1 % of it.
const (
	pagesPerSecond  = 1500
	faultsPerSecond = 500
	// jiffiesPerPeriod is 1 << FAULT_PERIOD_SHIFT of bpf/fault.bpf.c.
	jiffiesPerPeriod = 4
)

// set tells the programs about this machine.
func set(spec *ebpf.CollectionSpec) error {
	var tick unix.Timespec // the coarse clocks move on once a jiffy
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick); err != nil {
		return fmt.Errorf("asking how long a jiffy is: %w", err)
	}
	period := time.Duration(tick.Nano() * jiffiesPerPeriod).Seconds()
	for name, value := range map[string]uint32{
		bpf.FaultVarPageSize:       uint32(os.Getpagesize()),
		bpf.FaultVarPagesA_period:  uint32(max(pagesPerSecond*period, 1)),
		bpf.FaultVarFaultsA_period: uint32(max(faultsPerSecond*period, 1)),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

func (w *Watcher) programs() []*ebpf.Program {
	return []*ebpf.Program{w.objects.FaultPage, w.objects.FaultUser, w.objects.FaultKernel}
}

// Totals reads what there was so far.
func (w *Watcher) Totals() (Totals, error) {
	var cpus []bpf.FaultFaultCpu
	if err := w.objects.FaultCpus.Lookup(uint32(0), &cpus); err != nil {
		return Totals{}, fmt.Errorf("reading the number of page faults: %w", err)
	}
	var t Totals
	for _, cpu := range cpus {
		t.Faults += cpu.Totals.Faults
		t.Bytes += cpu.Totals.Bytes
		t.LostFaults += cpu.Totals.LostFaults
		t.LostBytes += cpu.Totals.LostBytes
		t.PieceFaults = max(t.PieceFaults, 1<<cpu.Totals.FaultShift)
		t.PieceBytes = max(t.PieceBytes, uint64(os.Getpagesize())<<cpu.Totals.PageShift)
	}
	return t, nil
}

// Cost is what the programs took so far; it is counted only while BPF statistics are on
// (ebpf.EnableStats).
func (w *Watcher) Cost() (runs uint64, spent time.Duration, err error) {
	return core.Cost(w.programs()...)
}

// Stop detaches the programs; what is in the ring buffer stays.
func (w *Watcher) Stop() error {
	err := core.Detach(w.links)
	w.links = nil
	return err
}

// Close detaches and frees everything.
func (w *Watcher) Close() error { return errors.Join(w.Stop(), w.objects.Close()) }
