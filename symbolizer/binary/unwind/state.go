package unwind

// A state is what call frame instructions have said so far of the registers that
// a walk needs: the CFA, the frame pointer and the return address.
type state struct {
	register   uint64 // of the CFA
	offset     int64  // of the CFA from it
	expression expression
	fp, ra     rule
}

// A rule says where the caller's value of a register is.
type rule struct {
	kind ruleKind
	// register and offset are of ruleAtRegister; for ruleAtCFA only offset is.
	register uint8
	offset   int64
}

type ruleKind uint8

const (
	ruleNone       ruleKind = iota // nothing was said
	ruleSame                       // unchanged
	ruleUndefined                  // it cannot be known
	ruleAtCFA                      // in memory at CFA + offset
	ruleAtRegister                 // in memory at register + offset
	ruleOther                      // something else
)

// content is a Row without its address.
type content struct {
	cfa  int16
	fp   int8
	kind Kind
}

var none = content{kind: KindNone}

// content packs a state, into a Wide if it must.
func (c *compiler) content(s *state, signal bool) content {
	if s.ra.kind == ruleUndefined {
		return content{kind: KindEnd}
	}
	if signal && (c.arch.linked || c.restores(s)) {
		c.signal = true
		return content{kind: KindSignal}
	}
	if packed, ok := c.compact(s); ok {
		return packed
	}
	w, ok := c.wide(s)
	if !ok {
		w = Wide{Flags: WideInexpressible}
	}
	return c.wideRule(w)
}

// restores reports whether a state is that of the code a signal handler returns
// to. Some hand-written code is marked so only because of where its return
// address points.
func (c *compiler) restores(s *state) bool {
	frame := c.arch.signal
	return s.expression == expression{kind: expressionDeref, register: c.arch.sp, offset: int64(frame.sp)} &&
		s.ra == rule{ruleAtRegister, c.arch.sp, int64(frame.pc)} &&
		s.fp == rule{ruleAtRegister, c.arch.sp, int64(frame.fp)}
}

// compact packs a state into a row of its own, if that can say it.
func (c *compiler) compact(s *state) (content, bool) {
	fp, flag, ok := c.compactSaved(s)
	if !ok {
		return content{}, false
	}
	switch s.expression.kind {
	case expressionNone:
		cfa, ok := words(s.offset)
		switch {
		case !ok:
		case s.register == uint64(c.arch.sp) && fp.kind != ruleAtRegister:
			return content{cfa, int8(fp.offset), KindSP | flag}, true
		case s.register == uint64(c.arch.fp) && fp.kind != ruleAtRegister:
			return content{cfa, int8(fp.offset), KindFP | flag}, true
		}
	case expressionDeref:
		cfa, ok := words(s.expression.offset)
		if ok && s.expression.register == c.arch.fp && s.expression.after == 0 {
			if fp.kind == ruleAtRegister {
				return content{cfa, 1, KindFPDeref | flag}, true
			}
			if fp.offset <= 0 {
				return content{cfa, int8(fp.offset), KindFPDeref | flag}, true
			}
		}
	case expressionPLT:
		cfa, ok := words(s.expression.offset)
		if ok && fp == (rule{}) && flag == 0 && s.expression.register == c.arch.sp {
			return content{cfa, int8(s.expression.after), KindPLT}, true
		}
	}
	return content{}, false
}

// compactSaved returns where the frame pointer is, in words from the CFA, or
// ruleAtRegister if it is where the frame pointer points to, and whether the
// return address is where rows take it for.
func (c *compiler) compactSaved(s *state) (fp rule, flag Kind, ok bool) {
	switch s.fp.kind {
	case ruleNone, ruleSame, ruleUndefined:
	case ruleAtCFA:
		if s.fp.offset%8 != 0 || s.fp.offset < -128*8 || s.fp.offset > 127*8 || s.fp.offset == 0 {
			return rule{}, 0, false
		}
		fp = rule{kind: ruleAtCFA, offset: s.fp.offset / 8}
	case ruleAtRegister:
		if s.fp.register != c.arch.fp || s.fp.offset != 0 {
			return rule{}, 0, false
		}
		// gcc does not take back what it said of the frame pointer when a function
		// that realigned its stack gives up its frame.
		if s.expression.kind != expressionNone || s.register != uint64(c.arch.sp) {
			fp = rule{kind: ruleAtRegister}
		}
	default:
		return rule{}, 0, false
	}
	if !c.arch.linked {
		return fp, 0, s.ra == rule{kind: ruleAtCFA, offset: -8}
	}
	switch s.ra.kind {
	case ruleNone, ruleSame:
		return fp, InLinkRegister, true
	case ruleAtCFA:
		return fp, 0, fp.kind == ruleAtCFA && s.ra.offset == s.fp.offset+8
	}
	return rule{}, 0, false
}

// wide packs a state into a wide rule, if that can say it.
func (c *compiler) wide(s *state) (Wide, bool) {
	var w Wide
	cfa, register := s.offset, s.register
	switch s.expression.kind {
	case expressionNone:
	case expressionDeref:
		w.Flags |= WideDeref
		w.After = s.expression.after
		cfa, register = s.expression.offset, uint64(s.expression.register)
	default:
		return w, false
	}
	if register > 255 || !fits(cfa) {
		return w, false
	}
	w.CFA, w.CFARegister = int32(cfa), uint8(register)
	switch s.fp.kind {
	case ruleNone, ruleSame, ruleUndefined:
	case ruleAtCFA:
		w.Flags |= WideFPSaved
	case ruleAtRegister:
		if s.fp.register != c.arch.fp {
			return w, false
		}
		w.Flags |= WideFPAtFP
	default:
		return w, false
	}
	if !fits(s.fp.offset) || !fits(s.ra.offset) {
		return w, false
	}
	w.FP, w.RA = int32(s.fp.offset), int32(s.ra.offset)
	switch {
	case s.ra.kind == ruleAtCFA:
	case c.arch.linked && (s.ra.kind == ruleNone || s.ra.kind == ruleSame):
		w.Flags |= WideInLinkRegister
	default:
		return w, false
	}
	return w, true
}

// words turns bytes into words that a row can hold.
func words(bytes int64) (int16, bool) {
	return int16(bytes / 8), bytes%8 == 0 && bytes/8 == int64(int16(bytes/8))
}

func fits(v int64) bool { return v == int64(int32(v)) }
