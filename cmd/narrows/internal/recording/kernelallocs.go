package recording

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
)

// kernelAllocs says how the kernel's own allocations were recorded, and what they amount to.
func (s *summary) kernelAllocs(r collector.Report) {
	if r.KernelAllocsErr != nil {
		s.Signals = append(s.Signals, session.Signal{
			Signal: string(collector.KernelAlloc), Why: "no hook works here",
			Tried: []session.Attempt{{Backend: kernelalloc.Backend, Error: r.KernelAllocsErr.Error()}},
		})
		s.warn(fmt.Sprintf("what the kernel allocates was not recorded: %v", r.KernelAllocsErr))
		return
	}
	memory := s.kernel.Document()
	if memory == nil {
		return
	}
	s.Signals = append(s.Signals, session.Signal{Signal: string(collector.KernelAlloc), Backend: kernelalloc.Backend, Why: "the only one, and it works here"})
	a := r.KernelAllocs
	s.KernelMemory = &session.KernelMemory{
		Memory: *memory, Objects: int64(a.Slab.Objects), ObjectBytes: int64(a.Slab.Bytes), PageBytes: int64(a.Page.Bytes),
		UnseenPageBytes: int64(a.UnseenBytes()), ProgramBytes: int64(math.Round(a.Programs.Bytes)),
		SlabPageBytes: int64(math.Round(a.Slabs.Bytes)), SlabPageLiveBytes: int64(math.Round(a.Slabs.Live)),
	}
}

// describeKernelMemory says in a few lines what the kernel allocated for itself and what of
// it lives.
func describeKernelMemory(m *session.KernelMemory) string {
	if m == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "kernel      the whole machine allocated %s in %d objects and %s in pages, %s of these for objects; %d allocations recorded\n",
		memory.Megabytes(m.ObjectBytes), m.Objects, memory.Megabytes(m.PageBytes), memory.Megabytes(m.SlabPageBytes), m.Allocated.Samples)
	fmt.Fprintf(&b, "kernel live %s in %d objects and blocks of pages, %d of them recorded\n", memory.Text(m.Live), m.Live.Objects, m.Live.Samples)
	const stacks = 5
	for i, s := range m.Stacks {
		if i == stacks || s.Live.Objects == 0 {
			break
		}
		fmt.Fprintf(&b, "            %s by %s\n", memory.Text(s.Live), whoAllocated(s.Functions))
	}
	return b.String()
}

// Beginnings of the names of functions that every allocation passes, and of those by which
// programs enter the kernel.
var (
	kernelAllocators = []string{
		"__alloc_pages", "alloc_pages", "__alloc_frozen_pages", "alloc_frozen_pages", "alloc_page", "__get_free_pages", "get_free_pages", "get_zeroed_page", "__folio_alloc",
		"folio_alloc", "kmem_cache_alloc", "__kmalloc", "kmalloc", "__kvmalloc", "kvmalloc", "___kmalloc", "__do_kmalloc",
	}
	kernelEntries = []string{"entry_SYSCALL", "asm_exc_", "el0t_64_sync", "el0_svc", "el0_da"}
)

func beginsWithAny(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// whoAllocated names in a few words who allocated: the innermost functions of the kernel that
// are no allocators, and of the program that called it.
func whoAllocated(functions []string) string {
	const ofKernel, ofProgram = 3, 2
	from := slices.IndexFunc(functions, func(f string) bool { return !beginsWithAny(f, kernelAllocators) })
	kernel, program := functions[max(from, 0):], []string(nil)
	if entry := slices.IndexFunc(kernel, func(f string) bool { return beginsWithAny(f, kernelEntries) }); entry > 0 {
		kernel, program = kernel[:entry], kernel[entry+1:]
	}
	text := strings.Join(kernel[:min(len(kernel), ofKernel)], ", called by ")
	if len(program) > 0 {
		text += "; for " + strings.Join(program[:min(len(program), ofProgram)], ", called by ")
	}
	return text
}

// watchingKernelAllocs says what watching them took from the machine.
func watchingKernelAllocs(c session.OwnCost) string {
	if c.KernelAllocRuns == 0 {
		return ""
	}
	return fmt.Sprintf(", %.2f s at %d allocations of the kernel and their ends", c.KernelAllocRunSeconds, c.KernelAllocRuns)
}
