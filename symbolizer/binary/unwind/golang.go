package unwind

import (
	"bytes"
	"errors"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// golang makes rows of Go's function table. It answers false for a binary that
// has none, or one of a layout that is not known.
func (c *compiler) golang() ([]Row, bool, error) {
	table, err := c.file.GoTable()
	switch {
	case errors.Is(err, binary.ErrNoGoTable), errors.Is(err, binary.ErrGoTableVersion), errors.Is(err, binary.ErrMalformed):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	g := goCompiler{compiler: c, rows: builder{limit: c.limit}}
	var codeErr error
	err = table.Functions(func(fn *binary.GoFunction) bool {
		codeErr = g.function(fn)
		return codeErr == nil && g.rows.err == nil
	})
	if err = errors.Join(err, codeErr, g.rows.err); err != nil {
		return nil, false, err
	}
	return g.rows.rows, true, nil
}

// A goCompiler makes rows of Go functions.
type goCompiler struct {
	*compiler
	rows builder
	text source // code, from the function on that was read last and lay outside
}

// A goFrame says from where on a function's frame is what. An address of 0 means
// never.
type goFrame struct {
	// saved is where the caller's frame pointer is in memory. own is where the
	// frame pointer is the function's own.
	saved, own uint64
	// lost is where the stack pointer is no more what the table says, and no
	// frame pointer tells where it was. left is where the goroutine's stack was
	// left for good, so that a new one begins.
	lost, left uint64
	// moved says that the frame is given up by one instruction, after the frame
	// pointer was restored.
	moved bool
	// released is where that was done in the part of the function at hand.
	released uint64
	// offset is the distance from the CFA to the saved frame pointer, and
	// distance that from the function's own frame pointer to the CFA.
	offset, distance int64
}

// function makes the rows of one function.
func (g *goCompiler) function(fn *binary.GoFunction) error {
	if len(fn.Depths) == 0 {
		return nil
	}
	if _, ok := g.covers(fn.Entry, fn.End-fn.Entry); !ok {
		g.statistics.Outside++
		return nil
	}
	g.statistics.Functions++
	until := fn.Depths[len(fn.Depths)-1].Until
	// The runtime's tracebacks end at sigtramp, too, but it returns to the frame
	// of the signal.
	if fn.TopFrame && fn.Name != "runtime.sigtramp" {
		g.add(fn.Entry, content{kind: KindEnd})
		g.add(until, none)
		return nil
	}
	frame, err := g.frame(fn)
	if err != nil {
		return err
	}
	marks := [...]uint64{frame.saved, frame.own, frame.lost, frame.left, 0}
	from := fn.Entry
	for i, depth := range fn.Depths {
		if frame.moved && frame.own != 0 && i+1 < len(fn.Depths) && fn.Depths[i+1].Bytes == 0 {
			if frame.released, err = g.released(fn, depth.Until); err != nil {
				return err
			}
			marks[len(marks)-1] = frame.released
		}
		for from < depth.Until {
			next := depth.Until
			for _, mark := range marks {
				if mark > from {
					next = min(next, mark)
				}
			}
			g.add(from, g.packed(&frame, from, depth.Bytes))
			from = next
		}
	}
	g.add(until, none)
	return nil
}

func (g *goCompiler) add(addr uint64, c content) { g.rows.add(addr-g.origin, c) }

// packed returns the rule at pc, where the stack pointer is depth bytes below
// its value at the function's entry.
func (g *goCompiler) packed(f *goFrame, pc uint64, depth int32) content {
	switch {
	case f.left != 0 && pc >= f.left:
		return content{kind: KindEnd}
	case f.lost != 0 && pc >= f.lost:
		return g.wideRule(Wide{Flags: WideInexpressible})
	}
	s := state{register: uint64(g.arch.sp), offset: int64(depth)}
	if !g.arch.linked {
		s.offset += 8
		s.ra = rule{kind: ruleAtCFA, offset: -8}
	}
	if depth != 0 {
		if f.own != 0 && pc >= f.own && (f.released == 0 || pc < f.released) {
			s.register, s.offset = uint64(g.arch.fp), f.distance
		}
		if f.saved != 0 && pc >= f.saved {
			s.fp = rule{kind: ruleAtCFA, offset: f.offset}
		}
		if g.arch.linked {
			s.ra = rule{kind: ruleAtCFA, offset: f.offset + 8}
		}
	}
	return g.content(&s, false)
}

// frame finds out from the code where a function saves the frame pointer: the
// table has the stack pointer only.
func (g *goCompiler) frame(fn *binary.GoFunction) (goFrame, error) {
	var f goFrame
	if fn.Assembly {
		if err := g.findRestorer(fn); err != nil {
			return f, err
		}
	}
	if len(fn.Depths) >= 2 && fn.Depths[0].Bytes == 0 {
		done := fn.Depths[0].Until
		before := min(goPrologueBefore, done-fn.Entry)
		code, err := g.code(fn, done-before, goPrologue)
		if err != nil {
			return f, err
		}
		if uint64(len(code)) >= before {
			f = g.arch.goPrologue(code, int(before), done, fn.Depths[1].Bytes)
		}
	}
	if !fn.WritesSP {
		f.own = 0 // it is, but the stack pointer is known everywhere
		return f, nil
	}
	code, err := g.code(fn, fn.Entry, maxGoWriter)
	if err != nil {
		return f, err
	}
	at, ok := g.arch.writesSP(code)
	switch {
	case !ok:
	case leavesStack[fn.Name]:
		f.left = fn.Entry + uint64(at)
	case f.own == 0:
		f.lost = fn.Entry + uint64(at)
	}
	return f, nil
}

// released returns where the frame pointer is the caller's again, in a function
// that gives up its frame at an address.
func (g *goCompiler) released(fn *binary.GoFunction, until uint64) (uint64, error) {
	before := min(goPrologueBefore, until-fn.Entry)
	code, err := g.code(fn, until-before, int(before))
	if err != nil {
		return 0, err
	}
	return until - uint64(goReleaseX86(code)), nil
}

// leavesStack are the functions that leave a stack for good. What the first two
// call begins a new one: the goroutine is parked, and another thread may run it
// meanwhile. The third jumps into a goroutine.
var leavesStack = map[string]bool{"runtime.mcall": true, "runtime.morestack": true, "gogo": true}

const (
	goPrologueBefore = 8       // bytes before the first change of the stack pointer is done
	goPrologue       = 32      // bytes that show what a prologue does
	maxGoWriter      = 4 << 10 // bytes of a function that writes the stack pointer
)

// code returns up to n bytes of a function's code at addr.
func (g *goCompiler) code(fn *binary.GoFunction, addr uint64, n int) ([]byte, error) {
	s := &g.text.section
	if s.ReaderAt == nil || addr < s.Addr || addr-s.Addr >= s.Size {
		segment, ok := g.file.Loaded(addr)
		if !ok {
			return nil, nil
		}
		g.text = source{section: segment}
	}
	return g.text.bytes(addr-s.Addr, min(uint64(n), fn.End-addr, s.Size-(addr-s.Addr)))
}

// findRestorer notes the function if it is what signal handlers return to.
func (g *goCompiler) findRestorer(fn *binary.GoFunction) error {
	code, err := g.code(fn, fn.Entry, goPrologue)
	if err != nil {
		return err
	}
	for _, text := range g.arch.restorers {
		if bytes.HasPrefix(code, []byte(text)) {
			g.restorers = append(g.restorers, restorer{fn.Entry, fn.Entry + uint64(len(text))})
		}
	}
	return nil
}
