package unwind

// An expression is one of the DWARF expressions that compilers and the C library
// use for the CFA; of all others only is known that they are there.
type expression struct {
	kind     expressionKind
	register uint8
	offset   int64
	after    int16
}

type expressionKind uint8

const (
	expressionNone  expressionKind = iota
	expressionDeref                // *(register + offset) + after
	expressionPLT                  // register + offset + (PC&15 >= after)*8
	expressionOther
)

// The operations that matter (DWARF 5, 7.7.1).
const (
	opDeref      = 0x06
	opAnd        = 0x1a
	opPlus       = 0x22
	opPlusUconst = 0x23
	opShl        = 0x24
	opGe         = 0x2a
	opLit0       = 0x30
	opBreg0      = 0x70
)

// canonicalExpression recognises the expression of a CFA.
func canonicalExpression(block []byte) expression {
	c := cursor{data: block}
	register, offset, ok := c.breg()
	if !ok {
		return expression{kind: expressionOther}
	}
	e := expression{register: register, offset: offset}
	switch op := c.u8(); {
	case op == opDeref:
		e.kind = expressionDeref
		if c.left() > 0 {
			if c.u8() != opPlusUconst {
				return expression{kind: expressionOther}
			}
			after := c.uleb()
			if after > 1<<15-1 {
				return expression{kind: expressionOther}
			}
			e.after = int16(after)
		}
	case op == opBreg0+16:
		// breg7 8; breg16 0; lit15; and; lit11; ge; lit3; shl; plus
		zero, mask, and, threshold := c.sleb(), c.u8(), c.u8(), c.u8()
		ge, shift, shl, plus := c.u8(), c.u8(), c.u8(), c.u8()
		if zero != 0 || mask != opLit0+15 || and != opAnd || threshold < opLit0 || threshold > opLit0+15 ||
			ge != opGe || shift != opLit0+3 || shl != opShl || plus != opPlus {
			return expression{kind: expressionOther}
		}
		e.kind, e.after = expressionPLT, int16(threshold-opLit0)
	default:
		return expression{kind: expressionOther}
	}
	if c.bad || c.left() > 0 {
		return expression{kind: expressionOther}
	}
	return e
}

// addressExpression recognises the expression of the address at which a register
// was saved.
func addressExpression(block []byte) rule {
	c := cursor{data: block}
	register, offset, ok := c.breg()
	if !ok || c.left() > 0 {
		return rule{kind: ruleOther}
	}
	return rule{ruleAtRegister, register, offset}
}

// breg reads an operation that pushes a register plus a constant.
func (c *cursor) breg() (register uint8, offset int64, ok bool) {
	op := c.u8()
	if c.bad || op < opBreg0 || op > opBreg0+31 {
		return 0, 0, false
	}
	offset = c.sleb()
	return op - opBreg0, offset, !c.bad
}
