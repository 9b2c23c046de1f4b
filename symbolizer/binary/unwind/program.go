package unwind

// Call frame instructions (DWARF 5, 7.24, and the vendors' additions).
const (
	cfaNop             = 0x00
	cfaSetLoc          = 0x01
	cfaAdvance1        = 0x02
	cfaAdvance2        = 0x03
	cfaAdvance4        = 0x04
	cfaOffsetExtended  = 0x05
	cfaRestoreExtended = 0x06
	cfaUndefined       = 0x07
	cfaSameValue       = 0x08
	cfaRegister        = 0x09
	cfaRememberState   = 0x0a
	cfaRestoreState    = 0x0b
	cfaDef             = 0x0c
	cfaDefRegister     = 0x0d
	cfaDefOffset       = 0x0e
	cfaDefExpression   = 0x0f
	cfaExpression      = 0x10
	cfaOffsetSigned    = 0x11
	cfaDefSigned       = 0x12
	cfaDefOffsetSigned = 0x13
	cfaValOffset       = 0x14
	cfaValOffsetSigned = 0x15
	cfaValExpression   = 0x16
	cfaMIPSAdvance8    = 0x1d
	cfaSignAddressPC   = 0x2c // AArch64: as the next, with the PC as a salt
	cfaSignAddress     = 0x2d // AArch64: the return address is signed from here on, or no more
	cfaArgumentsSize   = 0x2e // GNU: for unwinding through calls that push
	cfaNegativeOffset  = 0x2f // GNU: obsolete

	cfaAdvance = 1 << 6
	cfaOffset  = 2 << 6
	cfaRestore = 3 << 6
)

// maxSaved bounds how many states are remembered at a time; compilers need two.
const maxSaved = 256

// A program executes the call frame instructions of one description.
type program struct {
	machine *machine
	common  *common
	state   state
	saved   []state

	// Of a description, not of a CIE:
	described bool
	pc, end   uint64 // what the current state holds for begins at pc; all ends at end
	off       uint64 // offset in the section of what the cursor reads
	packed    content
	current   bool // packed is of the current state
}

// run executes all instructions and reports whether they made sense.
func (p *program) run(c *cursor) bool {
	for c.left() > 0 && !c.bad {
		if p.machine.steps--; p.machine.steps < 0 {
			return false
		}
		op := c.u8()
		switch op &^ 0x3f {
		case cfaAdvance:
			if !p.advance(uint64(op&0x3f) * p.common.codeAlign) {
				return p.described
			}
			continue
		case cfaOffset:
			p.setAtCFA(uint64(op&0x3f), int64(c.uleb()*uint64(p.common.dataAlign)))
			continue
		case cfaRestore:
			p.restore(uint64(op & 0x3f))
			continue
		}
		more, ok := p.extended(op, c)
		if !ok || !more {
			return ok
		}
	}
	return !c.bad
}

// extended executes an instruction that takes a whole byte. It answers whether
// there is more to execute, and whether it made sense.
func (p *program) extended(op uint8, c *cursor) (more, ok bool) {
	s := &p.state
	switch op {
	case cfaNop, cfaSignAddress, cfaSignAddressPC:
		return true, true
	case cfaArgumentsSize:
		c.uleb()
		return true, true
	case cfaSetLoc:
		to := p.machine.bases.pointer(c, p.common.encoding, p.off) - p.machine.origin
		if c.bad || to < p.pc || !p.described {
			return false, false
		}
		return p.advance(to - p.pc), p.described
	case cfaAdvance1:
		return p.advance(uint64(c.u8()) * p.common.codeAlign), p.described
	case cfaAdvance2:
		return p.advance(uint64(c.u16()) * p.common.codeAlign), p.described
	case cfaAdvance4:
		return p.advance(uint64(c.u32()) * p.common.codeAlign), p.described
	case cfaMIPSAdvance8:
		return p.advance(c.u64() * p.common.codeAlign), p.described
	case cfaRememberState:
		if len(p.saved) >= maxSaved {
			return false, false
		}
		p.saved = append(p.saved, *s)
	case cfaRestoreState:
		if len(p.saved) == 0 {
			return false, false
		}
		*s = p.saved[len(p.saved)-1]
		p.saved = p.saved[:len(p.saved)-1]
		p.current = false
	case cfaDef:
		s.register, s.offset, s.expression = c.uleb(), int64(c.uleb()), expression{}
		p.current = false
	case cfaDefSigned:
		s.register, s.offset, s.expression = c.uleb(), c.sleb()*p.common.dataAlign, expression{}
		p.current = false
	case cfaDefRegister:
		s.register, s.expression = c.uleb(), expression{}
		p.current = false
	case cfaDefOffset:
		s.offset = int64(c.uleb())
		p.current = false
	case cfaDefOffsetSigned:
		s.offset = c.sleb() * p.common.dataAlign
		p.current = false
	case cfaDefExpression:
		s.expression = canonicalExpression(c.take(c.uleb()))
		p.current = false
	default:
		return true, p.registerRule(op, c)
	}
	return true, true
}

// registerRule executes an instruction that says where one register is.
func (p *program) registerRule(op uint8, c *cursor) bool {
	register := c.uleb()
	switch op {
	case cfaOffsetExtended:
		p.setAtCFA(register, int64(c.uleb()*uint64(p.common.dataAlign)))
	case cfaOffsetSigned:
		p.setAtCFA(register, c.sleb()*p.common.dataAlign)
	case cfaNegativeOffset:
		p.setAtCFA(register, -int64(c.uleb()*uint64(p.common.dataAlign)))
	case cfaRestoreExtended:
		p.restore(register)
	case cfaUndefined:
		p.set(register, rule{kind: ruleUndefined})
	case cfaSameValue:
		p.set(register, rule{kind: ruleSame})
	case cfaRegister:
		from := c.uleb()
		r := rule{kind: ruleOther}
		if from == register {
			r.kind = ruleSame
		}
		p.set(register, r)
	case cfaExpression:
		p.set(register, addressExpression(c.take(c.uleb())))
	case cfaValOffset, cfaValOffsetSigned:
		c.uleb()
		p.set(register, rule{kind: ruleOther})
	case cfaValExpression:
		c.take(c.uleb())
		p.set(register, rule{kind: ruleOther})
	default:
		return false
	}
	return true
}

func (p *program) setAtCFA(register uint64, offset int64) {
	p.set(register, rule{kind: ruleAtCFA, offset: offset})
}

func (p *program) set(register uint64, r rule) {
	switch register {
	case uint64(p.machine.arch.fp):
		p.state.fp = r
	case uint64(p.machine.arch.ra):
		p.state.ra = r
	default:
		return
	}
	p.current = false
}

func (p *program) restore(register uint64) {
	switch register {
	case uint64(p.machine.arch.fp):
		p.set(register, p.common.initial.fp)
	case uint64(p.machine.arch.ra):
		p.set(register, p.common.initial.ra)
	}
}

// advance makes the row of the current state, which holds for the next by bytes
// of code. It answers false where the description ends.
func (p *program) advance(by uint64) bool {
	if !p.described || by == 0 {
		return p.described
	}
	if !p.current {
		p.packed, p.current = p.machine.content(&p.state, p.common.signal), true
	}
	p.machine.rows.add(p.pc, p.packed)
	if by >= p.end-p.pc {
		p.pc = p.end
		return false
	}
	p.pc += by
	return true
}

// finish makes the row of the last state.
func (p *program) finish() {
	if p.pc < p.end {
		p.advance(p.end - p.pc)
	}
}
