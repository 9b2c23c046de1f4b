package unwind

import (
	"fmt"
	"math"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// maxWide is how many wide rules rows can tell apart.
const maxWide = math.MaxUint16

// wideRule returns the row content that points to a wide rule.
func (c *compiler) wideRule(w Wide) content {
	index, ok := c.indexes[w]
	if !ok {
		// The last index is kept for what cannot be said.
		if len(c.wides) >= maxWide-1 && w.Flags != WideInexpressible {
			return c.wideRule(Wide{Flags: WideInexpressible})
		}
		index = uint16(len(c.wides))
		c.indexes[w] = index
		c.wides = append(c.wides, w)
	}
	return content{cfa: int16(index), kind: KindWide}
}

// A builder makes rows in ascending order.
type builder struct {
	rows  []Row
	limit int
	err   error
}

// add appends the rule that holds from pc on, unless it holds already. Addresses
// are relative to the file's lowest code.
func (b *builder) add(pc uint64, c content) {
	row := Row{PC: uint32(pc), CFA: c.cfa, FP: c.fp, Kind: c.kind}
	if n := len(b.rows); n > 0 {
		last := &b.rows[n-1]
		if last.CFA == c.cfa && last.FP == c.fp && last.Kind == c.kind {
			return
		}
		if last.PC == row.PC { // it held for nothing
			b.rows = b.rows[:n-1]
			b.add(pc, c)
			return
		}
	} else if c == none {
		return
	}
	if len(b.rows) >= b.limit {
		if b.err == nil {
			b.err = fmt.Errorf("more than %d rows: %w", b.limit, binary.ErrMalformed)
		}
		return
	}
	b.rows = append(b.rows, row)
}
