package collector

import (
	"fmt"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
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
	bpf.CoreUnwindEndUNWIND_BAD_ADDRESS:       outsideCode,
	bpf.CoreUnwindEndUNWIND_NO_RULE:           "rule needs an unknown register",
	bpf.CoreUnwindEndUNWIND_NO_PROCESS:        "mappings not known",
	bpf.CoreUnwindEndUNWIND_NO_MAPPING:        outsideCode,
	bpf.CoreUnwindEndUNWIND_NO_TABLE:          "table not loaded",
	unwind.ShortMemory:                        "stack deeper than its copy",
}

const (
	// outsideCode is the reason for cutting a stack at an address that no executable
	// mapping holds: what lies behind it was read from garbage.
	outsideCode = "return address outside code"
	// changedMeanwhile is the reason for cutting a stack at an address in a mapping
	// that the kernel's walker could not know yet: it went by what was there before.
	changedMeanwhile = "mappings changed meanwhile"
)

// walker continues a walk in user space.
type walker interface {
	// Walk appends the addresses of the callers of the frame that memory begins with.
	Walk(frames []uint64, memory *unwind.Memory, find func(address uint64) (process.Mapping, bool)) ([]uint64, bpf.CoreUnwindEnd)
}

// resolve turns a stack's addresses into frames, kernel frames first. The stack
// is valid until the next call.
func (r *replayer) resolve(p *process.Process, s unwind.Stack) (stack []window.Frame, reason string) {
	stack = r.stack[:0]
	for i, address := range s.Kernel {
		stack = append(stack, window.Frame{Address: callSite(address, i)})
	}
	frames, end := s.User, s.End
	stack, reason = r.resolveUser(stack, p, s.Time, frames, 0, s.Version)
	if reason == "" && s.Memory != nil {
		known := len(frames)
		frames, end = r.walker.Walk(frames, s.Memory, p.Find)
		stack, reason = r.resolveUser(stack, p, s.Time, frames, known, 0)
	}
	if reason == "" {
		reason = unwindEnds[end]
	}
	if reason == "" && end > bpf.CoreUnwindEndUNWIND_NO_USER_STACK {
		reason = fmt.Sprintf("unwinder's code %d", end)
	}
	r.stack = stack
	return stack, reason
}

// resolveUser appends user frames from the given one on, and says why not all, if so.
// version is that of the mappings which a walk in the kernel went by, else 0.
func (r *replayer) resolveUser(stack []window.Frame, p *process.Process, time uint64, frames []uint64, from int, version uint64) ([]window.Frame, string) {
	for i := from; i < len(frames); i++ {
		address := callSite(frames[i], i)
		m, ok := p.Find(address)
		if !ok {
			return stack, outsideCode
		}
		stack = append(stack, r.frame(p, m, address, time))
		if version != 0 && m.Batch > unwind.Batch(version) && i+1 < len(frames) {
			return stack, changedMeanwhile
		}
	}
	return stack, ""
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

// ends is how stacks ended.
type ends struct {
	complete  int64
	inUser    int64 // complete ones of which user space walked a part
	truncated map[string]int64
}

// countUnwinding keeps how stacks ended, by the file in which they began; nil
// stands for an unknown one.
func (r *replayer) countUnwinding(stack []window.Frame, kernel int, reason string, inUser bool) {
	var file *process.Binary
	if kernel < len(stack) {
		file = stack[kernel].Binary
	} else if reason == "" {
		return // the kernel's own work
	}
	e := r.unwinding[file]
	if e == nil {
		e = &ends{truncated: map[string]int64{}}
		r.unwinding[file] = e
	}
	switch {
	case reason != "":
		e.truncated[reason]++
	case inUser:
		e.inUser++
		fallthrough
	default:
		e.complete++
	}
}
