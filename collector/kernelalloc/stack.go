package kernelalloc

import "strings"

// Names names the kernel's functions.
type Names interface {
	Lookup(address uint64) (name, module string, ok bool)
}

// Stack is what a stack of the kernel says of an allocation.
type Stack struct {
	// Frames are those of who allocated, without the programs' own.
	Frames []uint64
	// Interrupt tells that an interrupt did: what it interrupted has no part in it.
	Interrupt bool
	// Program tells that an eBPF program did, whoever ran then.
	Program bool
	// SlabPage tells that a page is taken for objects, each of which is told of by itself.
	SlabPage bool
}

// role is what a function of the kernel says of a stack that it is in.
type role uint8

const (
	hooking   role = 1 << iota // leads to the programs at tracepoints
	program                    // runs eBPF programs, or takes memory for them
	interrupt                  // the entry of an interrupt
	deferred                   // what an interrupt left for later
	pages                      // takes pages
	slab                       // takes pages for a slab cache
)

// Names are those of Linux 6.1 to 6.18; all but the first of these are beginnings.
var roles = []struct {
	role  role
	names []string
}{
	{hooking, []string{"bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_prog_"}},
	{program, []string{"bpf_trace_run", "bpf_prog_", "__bpf_prog_", "bpf_overflow_handler", "__bpf_overflow_handler", "trace_call_bpf", "bpf_mem_refill", "uprobe_prog_run"}},
	{interrupt, []string{"asm_sysvec_", "asm_common_interrupt", "asm_exc_nmi", "asm_fred_entry_from_kernel", "el1h_64_irq", "el0t_64_irq", "el1h_64_fiq", "el0t_64_fiq"}},
	{deferred, []string{"handle_softirqs", "__do_softirq", "do_softirq"}},
	{slab, []string{
		"alloc_slab_page", "allocate_slab", "new_slab", "___slab_alloc", "__slab_alloc", "__kmem_cache_alloc_bulk", "kmem_cache_alloc_bulk", "refill_",
		"___kmalloc_large_node", "__kmalloc_large_node", "kmalloc_large_node", "kmalloc_large", "___cache_free",
	}},
	{pages, []string{
		"__alloc_pages", "___alloc_pages", "alloc_pages", "__alloc_frozen_pages", "alloc_frozen_pages", "get_page_from_freelist", "__get_free_page", "get_free_page",
		"get_zeroed_page", "__folio_alloc", "folio_alloc", "__alloc_page", "alloc_page",
	}},
}

// Reader says what stacks mean. It is used by one goroutine.
type Reader struct {
	names Names
	known map[uint64]role
}

// NewReader goes by the names of kernel functions; without any stacks are left as they are.
func NewReader(names Names) *Reader { return &Reader{names: names, known: map[uint64]role{}} }

// maxKnown bounds the addresses whose role is remembered.
const maxKnown = 1 << 18

func (r *Reader) role(address uint64) role {
	known, ok := r.known[address]
	if ok || r.names == nil {
		return known
	}
	if name, _, found := r.names.Lookup(address); found {
		known = roleOf(name)
	}
	if len(r.known) < maxKnown {
		r.known[address] = known
	}
	return known
}

func roleOf(name string) (all role) {
	for _, of := range roles {
		for _, prefix := range of.names {
			if strings.HasPrefix(name, prefix) {
				all |= of.role
			}
		}
	}
	return all
}

// hookDepth is how many frames the programs and what leads to them have at most.
const hookDepth = 8

// Read says what a stack means, its leaf first.
func (r *Reader) Read(kernel []uint64) Stack {
	s := Stack{Frames: kernel}
	for i := range min(len(kernel), hookDepth) {
		if r.role(kernel[i])&hooking == 0 {
			continue
		}
		for i+1 < len(kernel) && r.role(kernel[i+1])&hooking != 0 {
			i++
		}
		s.Frames = kernel[i+1:]
		break
	}
	s.SlabPage = r.slabPage(s.Frames)
	for i, address := range s.Frames {
		switch of := r.role(address); {
		case of&program != 0:
			s.Program = true
		case of&deferred != 0:
			s.Interrupt = true
		case of&interrupt != 0: // behind it is what it interrupted
			s.Interrupt = true
			s.Frames = s.Frames[:i+1]
			return s
		}
	}
	return s
}

// slabPage tells whether who takes a page is a slab cache.
func (r *Reader) slabPage(frames []uint64) bool {
	for _, address := range frames {
		switch of := r.role(address); {
		case of&slab != 0:
			return true
		case of&pages == 0:
			return false
		}
	}
	return false
}
