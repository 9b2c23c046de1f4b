package binary

import (
	"errors"
	"fmt"
)

// A GoFrame is one function of the chain that the compiler made into the code
// at an address.
type GoFrame struct {
	Function  string // the linker's name, type arguments included
	File      string // as recorded by the compiler; "" if not known
	Line      int    // 0 if not known
	StartLine int    // line of the func keyword; 0 if not known
}

// Frames returns the functions at the ELF virtual address addr, the innermost
// inlined one first and the one that has the code last, as the runtime would
// name a call at that address. It returns none if no function covers the
// address: padding after a function, which its table of lines does not cover,
// belongs to none. Functions without lines, which are the linker's own, reach to
// the next.
//
// The error wraps ErrMalformed where the table contradicts itself, or is what
// the reader answered.
func (t *GoTable) Frames(addr uint64) ([]GoFrame, error) {
	if !t.Covers(addr) {
		return nil, nil
	}
	t.remaining = min(t.remaining+goStepsALookup, maxGoSteps)
	frames, err := t.frames(uint32(addr - t.text))
	if err != nil {
		return nil, fmt.Errorf("reading the Go function at %#x: %w", addr, err)
	}
	return frames, nil
}

// errNotCovered is the answer of value for an offset that its table ends
// before.
var errNotCovered = errors.New("not covered")

func (t *GoTable) frames(pc uint32) ([]GoFrame, error) {
	fn, err := t.function(t.find(pc))
	if err != nil {
		return nil, err
	}
	if fn.lineTable != 0 {
		if _, err := t.value(fn.lineTable, fn.entry, pc); errors.Is(err, errNotCovered) {
			return nil, nil
		}
	}
	var frames []GoFrame
	for range maxGoInlined {
		index, err := t.inlineIndex(fn, pc)
		if err != nil {
			return nil, err
		}
		frame := GoFrame{StartLine: int(fn.startLine)}
		name, parent, position := fn.name, uint32(0), t.position
		switch {
		case index >= 0 && !t.inlining:
			// The line is one of a function that cannot be told: only the file
			// of fn itself is known.
			index, position = -1, t.ownFile
		case index >= 0:
			var call inlinedCall
			if call, err = t.inlinedCall(fn, index); err != nil {
				return nil, err
			}
			name, parent, frame.StartLine = call.name, call.parent, int(call.startLine)
		}
		if frame.Function, err = t.file.stringAt(t.section(t.names), uint64(name)); err != nil {
			return nil, err
		}
		if frame.Function == "" {
			return nil, fmt.Errorf("a function without a name: %w", ErrMalformed)
		}
		if frame.File, frame.Line, err = position(fn, pc); err != nil {
			return nil, err
		}
		frames = append(frames, frame)
		if index < 0 {
			return frames, nil
		}
		pc = fn.entry + parent
	}
	return nil, fmt.Errorf("inlined more than %d deep: %w", maxGoInlined, ErrMalformed)
}

// section makes a region into a section, for stringAt.
func (t *GoTable) section(r region) section { return section{offset: r.offset, size: r.size} }

// A goRecord is what this package needs of a runtime._func.
type goRecord struct {
	entry, end           uint32 // relative to GoTable.text
	name                 uint32
	fileTable, lineTable uint32
	unit                 uint32
	startLine            int32
	inlineTable          uint32 // PCDATA_InlTreeIndex; 0 if absent
	inlineTree           uint32 // FUNCDATA_InlTree; goNoOffset if absent
	depthTable           uint32 // pcsp
	flags                uint8  // abi.FuncFlag
}

func (t *GoTable) function(i int) (goRecord, error) {
	f := t.functions[i]
	at := uint64(f.record)
	b := &t.record
	if err := t.fill(b[:], t.records, at); err != nil {
		return goRecord{}, err
	}
	u := func(off int) uint32 { return t.order.Uint32(b[off:]) }
	r := goRecord{
		entry: u(0), end: t.end, name: u(4), fileTable: u(20), lineTable: u(24),
		unit: u(32), startLine: int32(u(36)), inlineTree: goNoOffset,
		depthTable: u(16), flags: b[41],
	}
	if r.entry != f.entry {
		return goRecord{}, fmt.Errorf("a function at %#x that says %#x: %w", f.entry, r.entry, ErrMalformed)
	}
	if i+1 < len(t.functions) {
		r.end = t.functions[i+1].entry
	}
	pcdata, funcdata := uint64(u(28)), uint64(b[43])
	if pcdata > 1<<10 {
		return goRecord{}, fmt.Errorf("%d tables: %w", pcdata, ErrMalformed)
	}
	var err error
	if pcdata > goPCDataInline && funcdata > goFuncDataInline {
		if r.inlineTable, err = t.word(t.records, at+goFuncSize+goPCDataInline*4); err != nil {
			return goRecord{}, err
		}
		r.inlineTree, err = t.word(t.records, at+goFuncSize+pcdata*4+goFuncDataInline*4)
	}
	return r, err
}

// position returns the file and line of the code at pc.
func (t *GoTable) position(fn goRecord, pc uint32) (string, int, error) {
	file, err := t.value(fn.fileTable, fn.entry, pc)
	if err != nil && !errors.Is(err, errNotCovered) {
		return "", 0, err
	}
	line, lineErr := t.value(fn.lineTable, fn.entry, pc)
	if lineErr != nil && !errors.Is(lineErr, errNotCovered) {
		return "", 0, lineErr
	}
	if err != nil || lineErr != nil || file < 0 || line < 0 || fn.unit == goNoOffset {
		return "", 0, nil
	}
	at, err := t.word(t.units, (uint64(fn.unit)+uint64(file))*4)
	if err != nil || at == goNoOffset {
		return "", 0, err
	}
	name, err := t.file.stringAt(t.section(t.files), uint64(at))
	return name, int(line), err
}

// ownFile returns the file of fn itself, from its first byte of code if that is
// its own, and no line.
func (t *GoTable) ownFile(fn goRecord, _ uint32) (string, int, error) {
	if index, err := t.inlineIndex(fn, fn.entry); err != nil || index >= 0 {
		return "", 0, err
	}
	file, _, err := t.position(fn, fn.entry)
	return file, 0, err
}

// value decodes the line table at offset table up to pc: pairs of varints, a
// zigzag difference of the value and a difference of the offset in units of the
// quantum, from -1 and the function's entry; a difference of 0 that is not the
// first ends it (cmd/internal/obj/pcln.go, funcpctab). A table of 0 does not
// exist, and so covers nothing.
func (t *GoTable) value(table, entry, pc uint32) (int32, error) {
	if table == 0 {
		return -1, errNotCovered
	}
	d := varints{table: t, at: uint64(table)}
	value, until := int32(-1), uint64(entry)
	for first := true; ; first = false {
		if t.remaining--; t.remaining < 0 {
			t.remaining = 0
			return 0, fmt.Errorf("line tables of more than %d steps: %w", maxGoSteps, ErrMalformed)
		}
		delta, err := d.next()
		if err != nil {
			return 0, err
		}
		if delta == 0 && !first {
			return -1, errNotCovered
		}
		value += int32(-(delta & 1) ^ (delta >> 1))
		step, err := d.next()
		if err != nil {
			return 0, err
		}
		until += uint64(step) * uint64(t.quantum)
		if uint64(pc) < until {
			return value, nil
		}
	}
}

// varints decodes the unsigned varints of a GoTable's lines.
type varints struct {
	table *GoTable
	at    uint64
	ready []byte
}

func (d *varints) next() (uint32, error) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		if len(d.ready) == 0 {
			if d.at >= d.table.lines.size {
				return 0, ErrMalformed
			}
			var err error
			n := int(min(d.table.lines.size-d.at, windowSize))
			if d.ready, err = d.table.window.bytes(d.table.file, d.table.lines.offset+d.at, n); err != nil {
				return 0, err
			}
			d.at += uint64(len(d.ready))
		}
		c := d.ready[0]
		d.ready = d.ready[1:]
		v |= uint32(c&0x7f) << shift
		if c&0x80 == 0 {
			return v, nil
		}
	}
	return 0, ErrMalformed
}
