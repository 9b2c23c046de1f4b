package unwind

import "fmt"

const x86CX = 2

// check compares what the tables say of the current instruction with what is
// known.
func (s *steppedThread) check() {
	stack := s.stacks[0]
	pc := s.regs.Rip
	s.known = false
	table, bias, _ := s.space.find(pc)
	if table == nil {
		s.none++
		return
	}
	row := table.Lookup(pc - bias)
	s.kinds[row.Kind]++
	switch {
	case row.Kind == KindNone:
		s.none++
		return
	case row.Kind == KindWide && table.Wide[uint16(row.CFA)].Flags&WideInexpressible != 0:
		s.inexpressible++
		return
	case row.Kind == KindWide && table.Wide[uint16(row.CFA)].CFARegister == x86CX:
		// The C++ library's unwinder is about to leave to another frame than its
		// caller's, and says so.
		s.inexpressible++
		return
	case row.Kind == KindEnd:
		s.end++
		if stack.whole && len(stack.frames) > 0 {
			s.fail("the root, with %d callers", len(stack.frames))
		}
		return
	}
	s.known = true
	if len(stack.frames) == 0 {
		return
	}
	want := &stack.frames[len(stack.frames)-1]
	start := (s.regs.Rsp - 128) &^ 7
	data := make([]byte, min(max(int64(want.cfa-start)+1024, 1024), 128<<10))
	data = data[:s.read(data, start)]
	parts := []Snapshot{{start, data}}
	if apart := want.cfa - start; apart > 128<<10 {
		other := make([]byte, 256)
		parts = append(parts, Snapshot{want.cfa - 128, other[:s.read(other, want.cfa-128)]})
	}
	at := step{arch: &x86_64, registers: s.snapshot(), leaf: true, stack: parts}
	s.checked++
	if !s.walker.next(&at) {
		s.fail("%v, want %v", at.end, want)
		return
	}
	got := shadowFrame{at.registers.SP, at.registers.PC, at.registers.FP, want.interrupted, false}
	if got != *want && row.Kind == KindWide && table.Wide[uint16(row.CFA)].Flags&WideFPAtFP != 0 {
		s.imprecise++ // see Walker
		got.fp = want.fp
	}
	// What unwinds for an exception writes another return address into its own
	// frame, and other registers.
	if s.refresh(want); want.rewritten {
		want.fp, got.rewritten = got.fp, true
	}
	if got != *want {
		s.fail("%v, want %v", &got, want)
	}
}

// refresh reads a frame's return address again.
func (s *steppedThread) refresh(f *shadowFrame) {
	if f.interrupted {
		return
	}
	if now := s.word(f.cfa - 8); now != f.ret {
		f.ret, f.rewritten = now, true
	}
}

func (s *steppedThread) fail(format string, arguments ...any) {
	if s.wrong++; s.wrong > 10 {
		return
	}
	table, bias, _ := s.space.find(s.regs.Rip)
	row := table.Lookup(s.regs.Rip - bias)
	text := fmt.Sprintf("%+v", row)
	if row.Kind == KindWide {
		text += fmt.Sprintf("%+v", table.Wide[uint16(row.CFA)])
	}
	s.t.Errorf("%s %s: %s", s.space.name(s.regs.Rip), text, fmt.Sprintf(format, arguments...))
}

func (s *steppedThread) snapshot() Registers {
	r := &s.regs
	return Registers{PC: r.Rip, SP: r.Rsp, FP: r.Rbp, Others: []uint64{
		r.Rax, r.Rdx, r.Rcx, r.Rbx, r.Rsi, r.Rdi, r.Rbp, r.Rsp, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15,
	}}
}

// walk compares a whole walk with the callers that are known.
func (s *steppedThread) walk() {
	stack := s.stacks[0]
	if !s.known {
		return
	}
	parts := []Snapshot{s.copyStack((s.regs.Rsp-128)&^7, 1<<20)}
	for _, f := range stack.frames {
		if far(f.cfa, parts[len(parts)-1].Address) {
			parts = append(parts, s.copyStack((f.cfa-(64<<10))&^7, 128<<10))
		}
	}
	frames, end := s.walker.Walk(nil, s.snapshot(), parts...)
	s.walked++
	s.deepest = max(s.deepest, len(frames))
	for i := range stack.frames {
		frame := &stack.frames[len(stack.frames)-1-i]
		s.refresh(frame)
		want := frame.ret
		if i+1 >= len(frames) {
			s.fail("the walk ends after %d frames of %d: %v", len(frames), len(stack.frames)+1, end)
			return
		}
		switch {
		case frames[i+1] == want && frame.rewritten:
			return // it leaves to a caller of its caller
		case frames[i+1] == want:
		case i == 1 && s.isCallSite(frames[1]-1):
			s.imprecise++ // the function called has not saved the register yet
			return
		default:
			s.fail("frame %d of %d is %s, want %s", i+1, len(stack.frames), s.space.name(frames[i+1]), s.space.name(want))
			return
		}
	}
	if stack.whole && (len(frames) != len(stack.frames)+1 || end != EndComplete) {
		s.fail("the walk has %d frames, want %d: %v", len(frames), len(stack.frames)+1, end)
	}
}

// isCallSite reports whether the rule at an address is one of addCallSites.
func (s *steppedThread) isCallSite(pc uint64) bool {
	table, bias, _ := s.space.find(pc)
	if table == nil {
		return false
	}
	row := table.Lookup(pc - bias)
	if row.Kind != KindWide {
		return false
	}
	w := table.Wide[uint16(row.CFA)]
	return w.Flags&WideDeref != 0 && w.CFARegister == x86_64.sp && w.CFA < 0
}

func (s *steppedThread) copyStack(from uint64, n int) Snapshot {
	data := make([]byte, n)
	return Snapshot{from, data[:s.read(data, from)]}
}
