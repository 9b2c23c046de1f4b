package kernelalloc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/narrows-profiler/narrows/bpf"
)

// Sum is all that was allocated of one kind, taken down or not, and how many events were sent
// of it and how many could not be.
type Sum struct {
	Objects, Bytes uint64
	Sent, Lost     uint64
}

// Totals is all that the kernel allocated, of the whole machine.
type Totals struct {
	Slab, Page Sum
	// ProgramBytes is pages for programs and the page cache, which are not in Page.
	ProgramBytes uint64
	// Pages is how many pages the kernel itself counted since the watcher was opened, of all
	// kinds; those that nothing here saw were taken many at a time.
	Pages uint64
	// MissedTaking and MissedFreeing are how often a program was not run because an interrupt
	// met it while it ran.
	MissedTaking, MissedFreeing uint64
}

func (s Sum) since(b Sum) Sum {
	return Sum{s.Objects - b.Objects, s.Bytes - b.Bytes, s.Sent - b.Sent, s.Lost - b.Lost}
}

// Since is what came after an earlier reading.
func (t Totals) Since(b Totals) Totals {
	return Totals{
		Slab: t.Slab.since(b.Slab), Page: t.Page.since(b.Page), ProgramBytes: t.ProgramBytes - b.ProgramBytes, Pages: t.Pages - b.Pages,
		MissedTaking: t.MissedTaking - b.MissedTaking, MissedFreeing: t.MissedFreeing - b.MissedFreeing,
	}
}

// UnseenBytes is how much was taken in pages that no program here saw.
func (t Totals) UnseenBytes() uint64 {
	all, seen := t.Pages*uint64(os.Getpagesize()), t.Page.Bytes+t.ProgramBytes
	return all - min(all, seen)
}

// Totals reads what there was so far.
func (w *Watcher) Totals() (t Totals, err error) {
	for kind := range bpf.KernelAllocKernelAllocKindKERNEL_ALLOC_KINDS {
		var cpus []bpf.KernelAllocKernelAllocCpu
		if err := w.objects.KernelAllocCpus.Lookup(uint32(kind), &cpus); err != nil {
			return Totals{}, fmt.Errorf("reading how much the kernel allocated: %w", err)
		}
		to := &t.Slab
		if kind == bpf.KernelAllocKernelAllocKindKERNEL_ALLOC_PAGE {
			to = &t.Page
		}
		for _, cpu := range cpus {
			to.Objects += cpu.Objects
			to.Bytes += cpu.Bytes
			to.Sent += cpu.Sent
			to.Lost += cpu.Lost
			t.ProgramBytes += cpu.ProgramBytes
		}
	}
	now, err := pagesTaken()
	if err != nil {
		return Totals{}, err
	}
	t.Pages = now - w.began
	if t.MissedTaking, err = missed(w.taking()); err != nil {
		return Totals{}, err
	}
	if t.MissedFreeing, err = missed(w.freeing()); err != nil {
		return Totals{}, err
	}
	return t, nil
}

// missed is how often programs were not run because they ran already.
func missed(hooks []hook) (n uint64, err error) {
	for _, h := range hooks {
		stats, err := h.program.Stats()
		if err != nil {
			return 0, fmt.Errorf("reading what was missed at %s: %w", h.tracepoint, err)
		}
		n += stats.RecursionMisses
	}
	return n, nil
}

// pagesTaken is how many pages the kernel has taken since it began, by its own count.
func pagesTaken() (pages uint64, err error) {
	f, err := os.Open("/proc/vmstat")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasPrefix(name, "pgalloc_") {
			continue
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s of /proc/vmstat: %w", name, err)
		}
		pages += n
	}
	return pages, nil
}
