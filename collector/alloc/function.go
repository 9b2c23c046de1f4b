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

// arguments are the registers of the first three.
var arguments = map[string][3]string{"amd64": {"rdi", "rsi", "rdx"}, "arm64": {"x0", "x1", "x2"}}

// returns are the registers that say where a function returns to.
var returns = map[string][]string{"amd64": {"rsp"}, "arm64": {"x30", "sp"}}

// uses are the arguments that are looked at, by how a function takes what it is asked for.
var uses = map[bpf.AllocAllocFunction][]int{
	bpf.AllocAllocFunctionALLOC_MALLOC:            {0},
	bpf.AllocAllocFunctionALLOC_CALLOC:            {0, 1},
	bpf.AllocAllocFunctionALLOC_REALLOC:           {0, 1},
	bpf.AllocAllocFunctionALLOC_REALLOC_OR_MALLOC: {0, 1},
	bpf.AllocAllocFunctionALLOC_ALIGNED:           {1},
	bpf.AllocAllocFunctionALLOC_POSIX_MEMALIGN:    {0, 2},
	bpf.AllocAllocFunctionALLOC_FREE:              {0},
}

// kept are the registers that a probe at a function needs as the caller left them.
func kept(architecture string, f bpf.AllocAllocFunction) []string {
	var registers []string
	for _, i := range uses[f] {
		registers = append(registers, arguments[architecture][i])
	}
	if f != bpf.AllocAllocFunctionALLOC_FREE { // nobody asks where that returns to
		registers = append(registers, returns[architecture]...)
	}
	return registers
}

// site is where one function has its probe.
type site struct {
	name       string
	function   bpf.AllocAllocFunction
	start, end uint64 // ELF addresses of the function
	offset     uint64 // of the probed byte in the file
	where      probesite.Site
}

func (s site) frees() bool { return s.function == bpf.AllocAllocFunctionALLOC_FREE }
