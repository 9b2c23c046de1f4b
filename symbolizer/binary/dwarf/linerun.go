package dwarf

import (
	"cmp"
	"slices"
)

// A runner runs a line program (DWARF 5, 6.2): a state machine whose instructions
// move an address and a line, and copy them into rows.
type runner struct {
	data    *Data
	program *lineProgram

	addr uint64
	file uint32
	line uint32

	rows      []lineRow // of all sequences
	begin     int       // of those since the last end
	ends      []int     // of sequences, in rows
	skipped   bool      // the sequence is of code that the linker threw away
	sequences [][]lineRow
	total     int
}

func (r *runner) run() error {
	p, c := r.program, &r.program.instructions
	r.reset()
	for c.left() > 0 && !c.bad {
		op := c.u8()
		switch {
		case op >= p.opcodeBase:
			adjusted := op - p.opcodeBase
			r.addr += uint64(adjusted/p.lineRange) * p.minInstruction
			r.line += uint32(int32(p.lineBase) + int32(adjusted%p.lineRange))
			r.row()
		case op == 0:
			r.extended(c)
		default:
			r.standard(op, c)
		}
		if r.total > maxRows || r.total*16 > r.data.maxMemory {
			return errTooLarge("a line table of more than %d rows", r.total)
		}
	}
	if c.bad {
		return errMalformed("a line table ends within an instruction")
	}
	return nil
}

func (r *runner) reset() {
	r.addr, r.file, r.line = 0, 1, 1
	r.rows, r.skipped = r.rows[:r.begin], false
}

func (r *runner) standard(op uint8, c *cursor) {
	p := r.program
	switch op {
	case lineCopy:
		r.row()
	case lineAdvancePC:
		r.addr += c.uleb() * p.minInstruction
	case lineAdvanceLine:
		r.line += uint32(c.sleb())
	case lineSetFile:
		r.file = uint32(min(c.uleb(), noFile-1))
	case lineConstAddPC:
		r.addr += uint64((255-p.opcodeBase)/p.lineRange) * p.minInstruction
	case lineFixedAdvancePC:
		r.addr += uint64(c.u16())
	default:
		// Columns, flags, and whatever a newer standard adds: passed over.
		for range p.operands[op-1] {
			c.uleb()
		}
	}
}

func (r *runner) extended(c *cursor) {
	length := c.uleb()
	body := cursor{data: c.take(length), big: c.big}
	if length == 0 || c.bad {
		return
	}
	switch op := body.u8(); op {
	case lineEndSequence:
		r.end()
		r.reset()
	case lineSetAddress:
		if n := length - 1; n == 4 || n == 8 {
			r.addr = body.sized(uint8(n))
		} else {
			c.bad = true
		}
	case lineDefineFile:
		r.program.table.files = append(r.program.table.files, file{string(body.text()), body.uleb()})
		if len(r.program.table.files) > maxFiles {
			c.bad = true
		}
	}
	c.bad = c.bad || body.bad
}

// row notes where the machine is. Of several rows at one address the last is it.
func (r *runner) row() {
	if len(r.rows) == r.begin {
		r.skipped = !r.data.isCode(r.addr)
	}
	if r.skipped {
		return
	}
	next := lineRow{r.addr, r.file, r.line}
	if n := len(r.rows); n > r.begin {
		last := &r.rows[n-1]
		if last.addr == r.addr {
			*last = next
			return
		}
		if last.file == r.file && last.line == r.line && last.addr < r.addr {
			return
		}
	}
	r.rows = append(r.rows, next)
	r.total++
}

// end closes a sequence of rows at the present address. Without an end, nobody
// knows how far its last row goes.
func (r *runner) end() {
	if r.skipped || len(r.rows) == r.begin {
		return
	}
	rows := r.rows[r.begin:]
	if !slices.IsSortedFunc(rows, byAddress) {
		slices.SortStableFunc(rows, byAddress)
	}
	for len(rows) > 0 && rows[len(rows)-1].addr >= r.addr {
		rows = rows[:len(rows)-1]
	}
	if len(rows) == 0 {
		return
	}
	r.total++
	r.rows = append(r.rows[:r.begin+len(rows)], lineRow{r.addr, noFile, 0})
	r.begin = len(r.rows)
	r.ends = append(r.ends, r.begin)
}

func byAddress(a, b lineRow) int { return cmp.Compare(a.addr, b.addr) }

// sorted joins the sequences. Where two overlap, the one that begins first is it,
// up to its end.
func (r *runner) sorted() []lineRow {
	from := 0
	for _, end := range r.ends {
		r.sequences = append(r.sequences, r.rows[from:end])
		from = end
	}
	slices.SortStableFunc(r.sequences, func(a, b []lineRow) int { return byAddress(a[0], b[0]) })
	all := make([]lineRow, 0, from)
	until := uint64(0)
	for _, sequence := range r.sequences {
		if sequence[0].addr < until {
			first, _ := slices.BinarySearchFunc(sequence, lineRow{addr: until}, byAddress)
			if first == len(sequence) {
				continue
			}
			if sequence[first].addr > until && first > 0 {
				first--
				sequence[first].addr = until
			}
			sequence = sequence[first:]
		}
		if n := len(all); n > 0 && all[n-1].addr == sequence[0].addr {
			all = all[:n-1]
		}
		all = append(all, sequence...)
		until = sequence[len(sequence)-1].addr
	}
	return slices.Clip(all)
}
