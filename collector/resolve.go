package collector

import (
	"fmt"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// unwindEnds names why a walk ended before the root; a walk that reached it, or
// had no user stack to walk, has no name.
var unwindEnds = map[bpf.CoreUnwindEnd]string{
	bpf.CoreUnwindEndUNWIND_NO_REGISTERS:      "no registers",
	bpf.CoreUnwindEndUNWIND_UNREADABLE:        "unreadable frame",
	bpf.CoreUnwindEndUNWIND_BAD_FRAME_POINTER: "bad frame pointer",
	bpf.CoreUnwindEndUNWIND_NOT_ASCENDING:     "frames do not ascend",
	bpf.CoreUnwindEndUNWIND_TOO_DEEP:          "too deep",
	bpf.CoreUnwindEndUNWIND_COMPAT:            "32-bit process",
}

// outsideCode is the reason for cutting a stack at an address that no executable
// mapping holds: what lies behind it was read from garbage.
const outsideCode = "return address outside code"

// resolve turns a sample's addresses into frames, kernel frames first. The stack
// is valid until the next call.
func (r *replayer) resolve(p *process.Process, s cpu.Sample) (stack []window.Frame, unwind string) {
	stack = r.stack[:0]
	for i, address := range s.Kernel {
		stack = append(stack, window.Frame{Address: callSite(address, i)})
	}
	unwind = unwindEnds[s.UnwindEnd]
	if unwind == "" && s.UnwindEnd > bpf.CoreUnwindEndUNWIND_NO_USER_STACK {
		unwind = fmt.Sprintf("unwinder's code %d", s.UnwindEnd)
	}
	for i, address := range s.User {
		address = callSite(address, i)
		m, ok := p.Find(address)
		if !ok {
			unwind = outsideCode
			break
		}
		stack = append(stack, r.frame(p, m, address, s.Time))
	}
	r.stack = stack
	return stack, unwind
}

// frame is a user frame: a place in a file, or, in memory without one, what the program
// says that it put there.
func (r *replayer) frame(p *process.Process, m process.Mapping, address, time uint64) window.Frame {
	if !m.Binary.Anonymous() {
		return window.Frame{Binary: m.Binary, Address: address + m.Offset - m.Start}
	}
	f := window.Frame{Binary: m.Binary, Address: address}
	if r.names != nil {
		f.Function, _ = r.names.Name(p.PID, address, time)
	}
	return f
}

// callSite moves a return address into the call before it, where a caller's line
// and inlined functions are looked up; the leaf is where it is.
func callSite(address uint64, depth int) uint64 {
	if depth > 0 && address > 0 {
		return address - 1
	}
	return address
}

// countUnwinding keeps how stacks ended, by the file in which they began; nil
// stands for an unknown one.
func (r *replayer) countUnwinding(stack []window.Frame, kernel int, unwind string) {
	var file *process.Binary
	if kernel < len(stack) {
		file = stack[kernel].Binary
	} else if unwind == "" {
		return // the kernel's own work
	}
	ends := r.unwinding[file]
	if ends == nil {
		ends = map[string]int64{}
		r.unwinding[file] = ends
	}
	ends[unwind]++
}
