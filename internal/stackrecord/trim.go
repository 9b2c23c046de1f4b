package stackrecord

import (
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// trim leaves of the tables what a walk of this stack looks at, so that a file stays
// small: the rows of its addresses, and where they end.
func (s *Stack) trim() {
	needed := make([]map[int]bool, len(s.Code))
	for i := range needed {
		needed[i] = map[int]bool{}
	}
	for i, pc := range s.Frames {
		for _, at := range []uint64{pc, pc - 1} {
			if at == pc && i > 0 && !s.signal(i) {
				continue // a caller's row is that of its call
			}
			s.need(needed, at)
		}
	}
	for i := range s.Code {
		s.Code[i].keep(needed[i])
	}
}

// signal tells whether a frame may be one that a signal interrupted: then its address is
// no return address.
func (s *Stack) signal(i int) bool {
	table, bias, _ := s.Find(s.Frames[i-1] - 1)
	return table != nil && table.Lookup(s.Frames[i-1]-1-bias).Kind == unwind.KindSignal
}

func (s *Stack) need(needed []map[int]bool, pc uint64) {
	for i, c := range s.Code {
		if pc < c.Start || pc >= c.End || len(c.Rows) == 0 {
			continue
		}
		relative := pc - c.Bias - c.Base
		at, found := slices.BinarySearchFunc(c.Rows, relative, func(r unwind.Row, pc uint64) int { return int(int64(r.PC) - int64(pc)) })
		if !found {
			at--
		}
		if at >= 0 && relative < 1<<32 {
			needed[i][at] = true
		}
	}
}

// keep leaves the rows with these numbers; what is between them becomes unknown code.
func (c *Code) keep(numbers map[int]bool) {
	var rows []unwind.Row
	var wide []unwind.Wide
	for i, row := range c.Rows {
		switch {
		case numbers[i] && row.Kind == unwind.KindWide:
			wide = append(wide, c.Wide[uint16(row.CFA)])
			row.CFA = int16(len(wide) - 1)
			rows = append(rows, row)
		case numbers[i]:
			rows = append(rows, row)
		case i == 0 || numbers[i-1]:
			rows = append(rows, unwind.Row{PC: row.PC, Kind: unwind.KindNone})
		}
	}
	if len(numbers) == 0 {
		rows = nil
	}
	c.Rows, c.Wide = rows, wide
}
