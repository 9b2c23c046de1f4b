package unwind

import "encoding/binary"

// Registers are those of a thread in user mode.
type Registers struct {
	PC, SP, FP uint64
	// LR is the link register of arm64; x86-64 has none.
	LR uint64
	// Caller says that PC is a return address, that of a walk which was left off:
	// only SP and FP are known besides.
	Caller bool
	// Others are registers by DWARF's numbers, as far as they are known; nil if
	// none are. Few rules need them.
	Others []uint64
}

// A Snapshot is a copy of a part of a stack. It should begin 128 bytes below the
// stack pointer: what a function keeps there without moving it is safe from
// signals (x86-64 psABI, 3.2.2).
type Snapshot struct {
	Address uint64 // of its first byte
	Bytes   []byte
}

// A Walker walks copies of stacks.
type Walker struct {
	// Arch is the machine that the stacks are of.
	Arch Arch
	// Find returns the table for the code at pc, and the bias: by how much its
	// addresses in memory are above those in the file. Without a table, the walk
	// ends with the reason, or goes on by frame pointer if that is EndComplete.
	Find func(pc uint64) (table *Table, bias uint64, reason End)
}

// An Arch is a machine that stacks can be walked of.
type Arch uint8

const (
	X86_64 Arch = iota
	ARM64
)

// maxSwitches is how often a stack may go on at a lower address: on the signal
// stack's other side, or where Go's runtime runs on a stack of its own. Garbage
// does it all the time.
const maxSwitches = 8

// maxStack is how far above its beginning a stack can go on behind its copy.
const maxStack = 1 << 30

// maxUserAddress is the end of user space: with five levels of page tables on
// x86-64, with 52 bits on arm64.
const maxUserAddress = 1 << 56

// Walk appends the addresses of a stack's frames to frames, the leaf first, which
// is r.PC itself, and return addresses after it, and says why it ended.
//
// The stack may be in several parts: Go's runtime and signal handlers go on on
// another one.
func (w *Walker) Walk(frames []uint64, r Registers, stack ...Snapshot) ([]uint64, End) {
	s := step{arch: w.Arch.architecture(), registers: r, leaf: !r.Caller, stack: stack}
	frames = append(frames, r.PC)
	for range MaxFrames - 1 {
		if !w.next(&s) {
			return frames, s.end
		}
		frames = append(frames, s.registers.PC)
	}
	if !w.next(&s) {
		return frames, s.end
	}
	return frames, EndTooDeep
}

func (a Arch) architecture() *architecture {
	if a == ARM64 {
		return &aarch64
	}
	return &x86_64
}

// next goes from a frame to its caller. It answers false if the walk ends.
func (w *Walker) next(s *step) bool {
	pc := s.registers.PC
	if !s.leaf {
		pc-- // what matters is the call, which the return address lies behind
	}
	table, bias, end := w.Find(pc)
	if table == nil {
		if end != EndComplete {
			return s.stop(end)
		}
		return s.followFramePointer()
	}
	row := table.Lookup(pc - bias)
	if s.leaf && row.Kind == KindNone {
		// A thread in a system call stands behind the instruction, which may be the
		// last of its function.
		row = table.Lookup(pc - 1 - bias)
	}
	switch row.Kind &^ InLinkRegister {
	case KindEnd:
		return s.stop(EndComplete)
	case KindSignal:
		return s.leaveSignal()
	case KindWide:
		if int(uint16(row.CFA)) >= len(table.Wide) {
			return s.followFramePointer()
		}
		return s.wide(table.Wide[uint16(row.CFA)])
	}
	return s.row(row)
}

// A step is a frame of a walk.
type step struct {
	arch      *architecture
	registers Registers
	stack     []Snapshot
	// leaf says that the thread stands at PC, or was interrupted there by a
	// signal, so that all registers are its own.
	leaf bool
	// context is where a signal's frame keeps the registers of the leaf, 0 if
	// they are the thread's.
	context  uint64
	switches int
	end      End
}

func (s *step) stop(end End) bool {
	s.end = end
	return false
}

// read reads a word of the stack.
func (s *step) read(addr uint64) (uint64, bool) {
	end := EndUnreadable
	for i := range s.stack {
		part := &s.stack[i]
		off := addr - part.Address
		switch {
		case addr < part.Address:
		case off <= uint64(len(part.Bytes)) && uint64(len(part.Bytes))-off >= 8:
			return binary.LittleEndian.Uint64(part.Bytes[off:]), true
		case off < maxStack:
			end = EndShortSnapshot
		}
	}
	return 0, s.stop(end)
}

// popped is how far below the stack pointer a function's epilogue can leave the
// frame pointer that it has restored. What is further below is another stack.
const popped = 1024

// saved reads the caller's frame pointer from where it was saved. Compilers do
// not say that a function which is about to return has restored it already, and
// then it lies below the stack pointer, where a signal may have overwritten it.
func (s *step) saved(addr uint64) (uint64, bool) {
	if addr < s.registers.SP && s.registers.SP-addr <= popped {
		return s.registers.FP, true
	}
	return s.read(addr)
}

// enter makes the caller's frame the current one, if it can be one.
func (s *step) enter(pc, sp, fp uint64) bool {
	if s.arch.linked {
		pc &= 1<<48 - 1 // the rest may be a signature
	}
	switch {
	case pc == 0:
		return s.stop(EndComplete)
	case pc >= maxUserAddress:
		return s.stop(EndBadAddress)
	case sp < s.registers.SP:
		if s.switches++; s.switches > maxSwitches {
			return s.stop(EndNotAscending)
		}
	}
	s.registers.PC, s.registers.SP, s.registers.FP = pc, sp, fp
	s.leaf = false
	return true
}

// followFramePointer takes the frame record at the frame pointer: the caller's
// frame pointer, and above it the return address (System V x86-64 psABI, 3.4.1;
// AAPCS64, 6.4.6).
func (s *step) followFramePointer() bool {
	at := s.registers.FP
	switch {
	case at == 0:
		return s.stop(EndComplete)
	case at&7 != 0:
		return s.stop(EndBadFramePointer)
	}
	fp, ok := s.read(at)
	if !ok {
		return false
	}
	pc, ok := s.read(at + 8)
	return ok && s.enter(pc, at+16, fp)
}

// leaveSignal goes from a signal's frame to the code that was interrupted.
func (s *step) leaveSignal() bool {
	frame, context := s.arch.signal, s.registers.SP
	fp, ok := s.read(context + frame.fp)
	if !ok {
		return false
	}
	sp, ok := s.read(context + frame.sp)
	if !ok {
		return false
	}
	pc, ok := s.read(context + frame.pc)
	if !ok {
		return false
	}
	if s.arch.linked {
		if s.registers.LR, ok = s.read(context + frame.lr); !ok {
			return false
		}
	}
	if !s.enter(pc, sp, fp) {
		return false
	}
	s.leaf, s.context = true, context
	return true
}

// row applies a rule that says it all by itself.
func (s *step) row(row Row) bool {
	r := &s.registers
	distance, saved := 8*uint64(int64(row.CFA)), 8*uint64(int64(row.FP))
	cfa, fp, ok := uint64(0), r.FP, true
	switch row.Kind &^ InLinkRegister {
	case KindSP:
		cfa = r.SP + distance
	case KindFP:
		cfa = r.FP + distance
	case KindFPDeref:
		if cfa, ok = s.read(r.FP + distance); !ok {
			return false
		}
		if row.FP > 0 {
			saved = 0
			if fp, ok = s.read(r.FP); !ok {
				return false
			}
		}
	case KindPLT:
		cfa, saved = r.SP+distance, 0
		if r.PC&15 >= uint64(row.FP) {
			cfa += 8
		}
	default:
		return s.followFramePointer()
	}
	if saved != 0 {
		if fp, ok = s.saved(cfa + saved); !ok {
			return false
		}
	}
	return s.ret(cfa, fp, s.arch.returnAddress(cfa, saved), row.Kind&InLinkRegister != 0)
}

// returnAddress is where a row without more words has the return address.
func (a *architecture) returnAddress(cfa, saved uint64) uint64 {
	if a.linked {
		return cfa + saved + 8
	}
	return cfa - 8
}

// ret goes to the caller whose return address is in memory at ra, or in the link
// register.
func (s *step) ret(cfa, fp, ra uint64, linked bool) bool {
	if linked {
		// Whoever called something has no return address there any more.
		if !s.leaf {
			return s.stop(EndNoRule)
		}
		return s.enter(s.registers.LR, cfa, fp)
	}
	pc, ok := s.read(ra)
	return ok && s.enter(pc, cfa, fp)
}

// wide applies a wide rule.
func (s *step) wide(w Wide) bool {
	switch {
	case w.Flags&WideInexpressible != 0:
		return s.followFramePointer()
	case w.Flags&WideEnd != 0:
		return s.stop(EndComplete)
	}
	cfa, ok := s.register(w.CFARegister)
	if !ok {
		return false
	}
	cfa += uint64(int64(w.CFA))
	if w.Flags&WideDeref != 0 {
		if cfa, ok = s.read(cfa); !ok {
			return false
		}
		cfa += uint64(int64(w.After))
	}
	fp := s.registers.FP
	switch {
	case w.Flags&WideFPSaved != 0:
		fp, ok = s.saved(cfa + uint64(int64(w.FP)))
	case w.Flags&WideFPAtFP != 0:
		// For some instructions before it returns, a function that says so has
		// restored the caller's already.
		if saved, ok := s.read(fp + uint64(int64(w.FP))); ok {
			fp = saved
		}
	}
	return ok && s.ret(cfa, fp, cfa+uint64(int64(w.RA)), w.Flags&WideInLinkRegister != 0)
}

// register returns the value of a register by its number.
func (s *step) register(number uint8) (uint64, bool) {
	switch {
	case number == s.arch.sp:
		return s.registers.SP, true
	case number == s.arch.fp:
		return s.registers.FP, true
	case !s.leaf:
		return 0, s.stop(EndNoRule)
	case s.context != 0:
		off, ok := s.arch.saved(number)
		if !ok {
			return 0, s.stop(EndNoRegisters)
		}
		return s.read(s.context + off)
	case int(number) >= len(s.registers.Others):
		return 0, s.stop(EndNoRegisters)
	}
	return s.registers.Others[number], true
}
