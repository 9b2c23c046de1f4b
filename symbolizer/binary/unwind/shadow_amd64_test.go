package unwind

import (
	"fmt"
	"syscall"
)

// A shadow is what is known of one stack.
type shadow struct {
	frames []shadowFrame
	sp     uint64 // when it was left
	whole  bool   // it is known from its root on
}

// A shadowFrame is what a caller had when it called, and will have again.
type shadowFrame struct {
	cfa, ret, fp uint64
	interrupted  bool // by a signal: the return address is not below the CFA
	rewritten    bool // by the function itself, which will return to another caller
}

// follow notes what an instruction did to the stack.
func (s *steppedThread) follow(before *syscall.PtraceRegs, kind instruction, delivered int) {
	now := &s.regs
	stack := s.stacks[0]
	if delivered != 0 && s.isHandler(before) {
		s.signals++
		if now.Rsp > before.Rsp || before.Rsp-now.Rsp > 64<<10 {
			// On a stack of its own. The frames of the code that was interrupted are
			// its callers all the same.
			s.stacks = append([]*shadow{{frames: append([]shadowFrame(nil), stack.frames...), whole: stack.whole}}, s.stacks...)
			stack.sp = before.Rsp
			stack = s.stacks[0]
		}
		stack.frames = append(stack.frames, shadowFrame{before.Rsp, before.Rip, before.Rbp, true, false},
			shadowFrame{now.Rsp + 8, s.word(now.Rsp), now.Rbp, false, false})
		return
	}
	if far(now.Rsp, before.Rsp) {
		s.switched(before)
		return
	}
	switch {
	case kind == call && now.Rsp == before.Rsp-8 && now.Rip != before.Rip:
		stack.frames = append(stack.frames, shadowFrame{now.Rsp + 8, s.word(now.Rsp), before.Rbp, false, false})
	case kind == ret && len(stack.frames) > 0 && stack.frames[len(stack.frames)-1].cfa == now.Rsp:
		stack.frames = stack.frames[:len(stack.frames)-1]
	default:
		stack.pop(now.Rsp)
	}
}

// far reports whether two addresses can only be of different stacks.
func far(a, b uint64) bool { return a-b+(256<<10) > 512<<10 }

// isHandler reports whether a signal's handler has just been entered.
func (s *steppedThread) isHandler(before *syscall.PtraceRegs) bool {
	context := s.regs.Rsp + 8
	return s.word(context+160) == before.Rsp && s.word(context+168) == before.Rip
}

// pop forgets the frames that the stack pointer has gone past.
func (s *shadow) pop(sp uint64) {
	for n := len(s.frames); n > 0 && s.frames[n-1].cfa <= sp && !far(s.frames[n-1].cfa, sp); n-- {
		s.frames = s.frames[:n-1]
	}
}

// switched notes that the thread goes on on another stack, one that is known if
// it was left where it goes on.
func (s *steppedThread) switched(before *syscall.PtraceRegs) {
	s.switches++
	s.stacks[0].sp = before.Rsp
	// A function of Go's runtime that keeps its frame pointer is still called from
	// where it was, and so is what it calls on another stack.
	if table, bias, _ := s.space.find(s.regs.Rip); table != nil && table.KeepsFramePointers && table.Lookup(s.regs.Rip-bias).Kind == KindFP {
		return
	}
	for i, known := range s.stacks {
		if i == 0 {
			continue
		}
		matches := known.sp == s.regs.Rsp
		for _, f := range known.frames {
			matches = matches || f.cfa == s.regs.Rsp
		}
		if matches {
			known.pop(s.regs.Rsp)
			copy(s.stacks[1:i+1], s.stacks[:i])
			s.stacks[0] = known
			return
		}
	}
	s.stacks = append([]*shadow{{}}, s.stacks...)
	s.stacks = s.stacks[:min(len(s.stacks), 64)]
}

func (f *shadowFrame) String() string {
	return fmt.Sprintf("%#x [cfa %#x, fp %#x]", f.ret, f.cfa, f.fp)
}
