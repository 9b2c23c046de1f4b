package recording

import (
	"fmt"
	"math"
	"strings"

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
	fmt.Fprintf(&b, "kernel      allocated %s MB in %d objects and %s MB in pages, %s MB of these for objects; %d allocations recorded\n",
		megabytes(m.ObjectBytes), m.Objects, megabytes(m.PageBytes), megabytes(m.SlabPageBytes), m.Allocated.Samples)
	fmt.Fprintf(&b, "kernel live %s in %d objects and blocks of pages, %d of them recorded\n", estimate(m.Live), m.Live.Objects, m.Live.Samples)
	const stacks, functions = 5, 4
	for i, s := range m.Stacks {
		if i == stacks || s.Live.Objects == 0 {
			break
		}
		named := s.Functions[:min(len(s.Functions), functions)]
		fmt.Fprintf(&b, "            %s by %s\n", estimate(s.Live), strings.Join(named, ", called by "))
	}
	return b.String()
}

// watchingKernelAllocs says what watching them took from the machine.
func watchingKernelAllocs(c session.OwnCost) string {
	if c.KernelAllocRuns == 0 {
		return ""
	}
	return fmt.Sprintf(", %.2f s at %d allocations of the kernel and their ends", c.KernelAllocRunSeconds, c.KernelAllocRuns)
}
