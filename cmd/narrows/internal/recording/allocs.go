package recording

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/alloc"
)

// allocs says how allocations were recorded, and of which programs not, or not all the time.
func (s *summary) allocs(r collector.Report) {
	if r.AllocsErr != nil {
		s.warn(fmt.Sprintf("allocations were not recorded: %v", r.AllocsErr))
	}
	if r.AllocBackend == "" {
		return
	}
	s.Memory = s.memory.Document()
	s.Signals = append(s.Signals, session.Signal{Signal: string(collector.Alloc), Backend: r.AllocBackend, Why: "at the bytes of malloc and its kin that cost least"})
	read, refused := s.goHeaps(r)
	var without []string
	ended := map[uint32]bool{}
	for _, t := range r.AllocTargets {
		noMalloc := errors.Is(t.Detached, alloc.ErrNoAllocator) || errors.Is(t.Detached, alloc.ErrGo)
		switch {
		case noMalloc && (read[t.PID] || refused[t.PID]): // that was told
		case errors.Is(t.Detached, unix.ESRCH) && !t.Probed:
			ended[t.PID] = true
		case t.Detached != nil && !errors.Is(t.Detached, alloc.ErrGone) && t.Probed:
			s.warn(fmt.Sprintf("allocations of process %d were recorded for a part of the time, and what lives is what lived then: %v", t.PID, t.Detached))
		case t.Detached != nil && !errors.Is(t.Detached, alloc.ErrGone):
			without = append(without, fmt.Sprintf("process %d: %v", t.PID, t.Detached))
		case t.Go && !read[t.PID]:
			s.warn(fmt.Sprintf("process %d is a Go program: what its C code allocates was recorded, Go's own heap not", t.PID))
		}
	}
	if len(ended) > 0 {
		s.warn(fmt.Sprintf("allocations were not recorded of %d processes, which ended before they had probes", len(ended)))
	}
	const shown = 3
	for i, text := range without {
		if i == shown {
			s.warn(fmt.Sprintf("allocations of %d more processes were not recorded", len(without)-shown))
			break
		}
		s.warn("allocations were not recorded of " + text)
	}
}

// goHeaps says of which Go programs the heap was read or could not be, and returns those. A
// process that maps files one after another may have been tried more than once.
func (s *summary) goHeaps(r collector.Report) (read, refused map[uint32]bool) {
	read, refused = map[uint32]bool{}, map[uint32]bool{}
	for _, t := range r.GoHeaps {
		if t.Err != nil {
			if refused[t.PID] {
				continue
			}
			refused[t.PID] = true
			s.warn(fmt.Sprintf("the heap of process %d (%s), a Go program, was not read: %v", t.PID, t.Name, t.Err))
			continue
		}
		read[t.PID] = true
		if t.Skipped > 0 {
			s.warn(fmt.Sprintf("of the heap of process %d (%s) %d records are missing, whose numbers could not be", t.PID, t.Name, t.Skipped))
		}
	}
	if len(read) > 0 {
		s.Signals = append(s.Signals, session.Signal{
			Signal: string(collector.Alloc), Backend: "Go's own heap profile",
			Why: fmt.Sprintf("read from the memory of %d Go programs, without probes; what they have in use is all that they ever allocated and did not free", len(read)),
		})
	}
	return read, refused
}

// describeMemory says in a few lines what was allocated and what of it lives.
func describeMemory(m *session.Memory) string {
	if m == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "allocated   %s in %d blocks, %d of them recorded\n", memory.Text(m.Allocated), m.Allocated.Objects, m.Allocated.Samples)
	fmt.Fprintf(&b, "live        %s in %d blocks, %d of them recorded\n", memory.Text(m.Live), m.Live.Objects, m.Live.Samples)
	const stacks, functions = 3, 3
	for i, s := range m.Stacks {
		if i == stacks || s.Live.Objects == 0 {
			break
		}
		named := s.Functions[:min(len(s.Functions), functions)]
		fmt.Fprintf(&b, "            %s by %s\n", memory.Text(s.Live), strings.Join(named, ", called by "))
	}
	return b.String()
}
