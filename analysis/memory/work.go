package memory

import (
	"slices"
	"strings"
)

// What the CPU time of memory is spent on.
const (
	Allocating = "allocating" // in an allocator: taking memory, clearing it, giving it back
	Collecting = "collecting" // in a garbage collector
	Faulting   = "faulting"   // in page faults
	Mapping    = "mapping"    // in system calls that map memory or give it back
)

// Kind is what a function has to do with memory.
type Kind uint8

const (
	Program   Kind = iota // nothing: it is the program's own
	language              // a language's own code, which allocates for who called it
	kernel                // the kernel's
	allocator             // takes or gives back memory for who called it
	collector             // a garbage collector's own threads
	assistant             // a garbage collector's work that is left to who allocates
	faulted               // the entry of a page fault
	mapped                // a system call on mappings
)

// spentOn is what a stack with such a frame spends its time on; the innermost tells.
var spentOn = map[Kind]string{
	allocator: Allocating, collector: Collecting, assistant: Collecting, faulted: Faulting, mapped: Mapping,
}

// Lexicon knows what functions have to do with memory, by their names: those of which the whole
// name tells.
type Lexicon map[string]Kind

// NewLexicon makes one.
func NewLexicon() Lexicon {
	kinds := Lexicon{}
	for kind, names := range map[Kind]string{
		allocator: `malloc calloc realloc reallocarray free cfree memalign aligned_alloc posix_memalign valloc pvalloc
			__libc_malloc __libc_calloc __libc_realloc __libc_free __libc_memalign _int_malloc _int_free _int_realloc malloc_consolidate
			malloc_trim sdallocx mallocx rallocx xallocx dallocx tc_malloc tc_free tc_calloc tc_realloc tc_new tc_delete
			__rust_alloc __rust_dealloc __rust_realloc __rust_alloc_zeroed __rdl_alloc __rdl_dealloc __rdl_realloc
			PyObject_Malloc PyObject_Calloc PyObject_Realloc PyObject_Free PyMem_Malloc PyMem_Realloc PyMem_Free
			runtime.mallocgc`,
		collector: `runtime.gcBgMarkWorker runtime.bgsweep runtime.bgscavenge runtime.gcStart runtime.gcMarkDone runtime.gcMarkTermination`,
		assistant: `runtime.gcAssistAlloc runtime.deductSweepCredit runtime.deductAssistCredit`,
		faulted:   `asm_exc_page_fault exc_page_fault do_user_addr_fault handle_mm_fault do_page_fault do_translation_fault do_mem_abort`,
		mapped: `__x64_sys_mmap __x64_sys_munmap __x64_sys_mremap __x64_sys_madvise __x64_sys_brk ksys_mmap_pgoff
			__arm64_sys_mmap __arm64_sys_munmap __arm64_sys_mremap __arm64_sys_madvise __arm64_sys_brk`,
		language: `munmap mmap mmap64 mremap madvise brk sbrk __munmap __mmap __mremap __madvise __brk memset memcpy memmove bzero mempcpy strdup strndup __strdup getline vasprintf asprintf start_thread clone __clone3`,
	} {
		for name := range strings.FieldsSeq(names) {
			kinds[name] = kind
		}
	}
	return kinds
}

// prefixes of the names of functions of each kind; the first that fits counts.
var framePrefixes = []struct {
	prefix string
	kind   Kind
}{
	{"operator new", allocator}, {"operator delete", allocator}, {"je_", allocator}, {"mi_", allocator}, {"tcmalloc::", allocator},
	{"runtime.gcAssistAlloc", assistant},
	{"runtime.", language}, {"internal/runtime/", language}, {"internal/bytealg.", language}, {"syscall.", language}, {"golang.org/x/sys/unix.", language}, {"internal/syscall/", language},
	{"slices.Grow", language}, {"slices.Clone", language}, {"slices.Insert", language}, {"bytes.growSlice", language},
	{"bytes.(*Buffer).", language}, {"strings.(*Builder).", language}, {"maps.Clone", language}, {"strings.Clone", language}, {"bytes.Clone", language},
	{"std::", language}, {"void std::", language}, {"__gnu_cxx::", language}, {"alloc::", language}, {"<alloc::", language}, {"core::", language},
	{"<core::", language}, {"hashbrown::", language}, {"<T as alloc::", language},
	{"__memset", language}, {"__memcpy", language}, {"__memmove", language}, {"__mempcpy", language},
}

// Kind tells what a function has to do with memory; inKernel that it is the kernel's.
func (l Lexicon) Kind(function string, inKernel bool) Kind {
	if kind, ok := l[function]; ok {
		return kind
	}
	if inKernel {
		return kernel
	}
	for _, p := range framePrefixes {
		if strings.HasPrefix(function, p.prefix) {
			return p.kind
		}
	}
	return Program
}

// Work tells whether a stack, innermost function first, is one of memory: what it spends
// its time on, and the index of the function that it does so for; -1 if that is no function of
// the Program, as in a garbage collector's own threads.
func Work(stack []Kind) (doing string, site int, ok bool) {
	outermost := -1
	for i, kind := range stack {
		if spentOn[kind] == "" {
			continue
		}
		if doing == "" {
			doing = spentOn[kind]
		}
		outermost = i
	}
	if outermost < 0 {
		return "", 0, false
	}
	if stack[outermost] == collector {
		return Collecting, -1, true
	}
	if slices.Contains(stack[:outermost+1], assistant) {
		doing = Collecting
	}
	return doing, siteFrom(stack, outermost+1), true
}

// Owner is the innermost function of a stack that is the program's own, and not a language's or an
// allocator's; the innermost of all if there is none.
func (l Lexicon) Owner(functions []string) string {
	for _, f := range functions {
		if l.Kind(f, false) == Program {
			return f
		}
	}
	return append(functions, "")[0]
}

// siteFrom is the index of the first function of the program outwards from there, -1 if there is none.
func siteFrom(stack []Kind, from int) int {
	if i := slices.Index(stack[from:], Program); i >= 0 {
		return from + i
	}
	return -1
}
