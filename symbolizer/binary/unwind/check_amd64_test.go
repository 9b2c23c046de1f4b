package unwind

import "fmt"

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
		s.fail("%v, want %#x", at.end, *want)
		return
	}
	got := shadowFrame{at.registers.SP, at.registers.PC, at.registers.FP}
	if got != *want && row.Kind == KindWide && table.Wide[uint16(row.CFA)].Flags&WideFPAtFP != 0 {
		s.imprecise++ // see Walker
		got.fp = want.fp
	}
	// What unwinds for an exception writes another return address into its own
	// frame, and other registers.
	if now := s.word(want.cfa - 8); row.Kind != KindSignal && now != want.ret {
		want.ret, want.fp = now, got.fp
	}
	// It also leaves by a return that is not its own.
	if s.decode(pc) == ret && want.cfa != s.regs.Rsp+8 {
		want = &shadowFrame{s.regs.Rsp + 8, s.word(s.regs.Rsp), got.fp}
	}
	if got != *want {
		s.fail("%#x, want %#x", got, *want)
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
		want := stack.frames[len(stack.frames)-1-i].ret
		if i+1 >= len(frames) {
			s.fail("the walk ends after %d frames of %d: %v", len(frames), len(stack.frames)+1, end)
			return
		}
		if frames[i+1] != want {
			s.fail("frame %d of %d is %s, want %s", i+1, len(stack.frames), s.space.name(frames[i+1]), s.space.name(want))
			return
		}
	}
	if stack.whole && (len(frames) != len(stack.frames)+1 || end != EndComplete) {
		s.fail("the walk has %d frames, want %d: %v", len(frames), len(stack.frames)+1, end)
	}
}

func (s *steppedThread) copyStack(from uint64, n int) Snapshot {
	data := make([]byte, n)
	return Snapshot{from, data[:s.read(data, from)]}
}
