package alloc

import (
	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/probesite"
)

// functions are those by which memory is allocated and freed, by their symbols, and how they
// take what they are asked for. Names in C++ are as the Itanium ABI mangles them.
var functions = map[string]bpf.AllocAllocFunction{
	"malloc":         bpf.AllocAllocFunctionALLOC_MALLOC,
	"valloc":         bpf.AllocAllocFunctionALLOC_MALLOC,
	"pvalloc":        bpf.AllocAllocFunctionALLOC_MALLOC,
	"calloc":         bpf.AllocAllocFunctionALLOC_CALLOC,
	"realloc":        bpf.AllocAllocFunctionALLOC_REALLOC,
	"memalign":       bpf.AllocAllocFunctionALLOC_ALIGNED,
	"aligned_alloc":  bpf.AllocAllocFunctionALLOC_ALIGNED,
	"posix_memalign": bpf.AllocAllocFunctionALLOC_POSIX_MEMALIGN,

	"_Znwm":                               bpf.AllocAllocFunctionALLOC_MALLOC, // operator new
	"_Znam":                               bpf.AllocAllocFunctionALLOC_MALLOC,
	"_ZnwmRKSt9nothrow_t":                 bpf.AllocAllocFunctionALLOC_MALLOC,
	"_ZnamRKSt9nothrow_t":                 bpf.AllocAllocFunctionALLOC_MALLOC,
	"_ZnwmSt11align_val_t":                bpf.AllocAllocFunctionALLOC_MALLOC,
	"_ZnamSt11align_val_t":                bpf.AllocAllocFunctionALLOC_MALLOC,
	"_ZnwmSt11align_val_tRKSt9nothrow_t":  bpf.AllocAllocFunctionALLOC_MALLOC,
	"_ZnamSt11align_val_tRKSt9nothrow_t":  bpf.AllocAllocFunctionALLOC_MALLOC,
	"mallocx":                             bpf.AllocAllocFunctionALLOC_MALLOC, // of jemalloc
	"free":                                bpf.AllocAllocFunctionALLOC_FREE,
	"cfree":                               bpf.AllocAllocFunctionALLOC_FREE,
	"free_sized":                          bpf.AllocAllocFunctionALLOC_FREE, // C23
	"free_aligned_sized":                  bpf.AllocAllocFunctionALLOC_FREE,
	"dallocx":                             bpf.AllocAllocFunctionALLOC_FREE,
	"sdallocx":                            bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdlPv":                              bpf.AllocAllocFunctionALLOC_FREE, // operator delete
	"_ZdaPv":                              bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdlPvm":                             bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdaPvm":                             bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdlPvRKSt9nothrow_t":                bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdaPvRKSt9nothrow_t":                bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdlPvSt11align_val_t":               bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdaPvSt11align_val_t":               bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdlPvmSt11align_val_t":              bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdaPvmSt11align_val_t":              bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdlPvSt11align_val_tRKSt9nothrow_t": bpf.AllocAllocFunctionALLOC_FREE,
	"_ZdaPvSt11align_val_tRKSt9nothrow_t": bpf.AllocAllocFunctionALLOC_FREE,
}

// required are those that make a file an allocator.
var required = []string{"malloc", "free"}

// kept are the registers that a probe needs as the caller left them: three arguments, and
// what says where the function returns to.
var kept = map[string][]string{
	"amd64": {"rdi", "rsi", "rdx", "rsp"},
	"arm64": {"x0", "x1", "x2", "x30", "sp"},
}

// keptToFree are those at a function that frees.
var keptToFree = map[string][]string{"amd64": {"rdi"}, "arm64": {"x0"}}

// site is where one function has its probe.
type site struct {
	name       string
	function   bpf.AllocAllocFunction
	start, end uint64 // ELF addresses of the function
	offset     uint64 // of the probed byte in the file
	where      probesite.Site
}

func (s site) frees() bool { return s.function == bpf.AllocAllocFunctionALLOC_FREE }
