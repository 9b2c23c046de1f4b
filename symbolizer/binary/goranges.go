package binary

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// The steps of line tables that all of a table's ranges may take to decode: the
// largest programs have some ten million, and few functions share a table, so that
// there is about one for three bytes.
const (
	maxGoRangeSteps     = 256 << 20
	goRangeStepsFewest  = 64 << 10
	goRangeStepsPerByte = 4
)

// Reach returns the code that the table describes, from its first function to the
// end of its last. Covers is true of these addresses only.
func (t *GoTable) Reach() (low, high uint64) {
	return t.text + uint64(t.functions[0].entry), t.text + uint64(t.end)
}

// Ranges yields all code that a function covers, in order of address, such that
// Frames answers the same at any address of a range. Functions without wanted addresses
// are left out. An error says that a function
// could not be read and is left out; the next one follows, unless the table is such
// that reading all of it would take too long.
func (t *GoTable) Ranges(wanted func(low, high uint64) bool) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		defer func() { t.steps = [3][]goStep{} }()
		steps := int(min(maxGoRangeSteps, goRangeStepsFewest+goRangeStepsPerByte*t.lines.size))
		for i := range t.functions {
			if steps <= 0 {
				yield(Range{}, fmt.Errorf("reading Go functions: too many steps in line tables: %w", ErrMalformed))
				return
			}
			f := t.functions[i]
			end := t.end
			if i+1 < len(t.functions) {
				end = t.functions[i+1].entry
			}
			if !wanted(t.text+uint64(f.entry), t.text+uint64(end)) {
				continue
			}
			steps--
			t.remaining = min(maxGoSteps, steps)
			before := t.remaining
			ranges, err := t.functionRanges(i, wanted)
			steps -= before - max(t.remaining, 0)
			if err != nil && !yield(Range{}, fmt.Errorf("reading the Go function at %#x: %w", t.text+uint64(t.functions[i].entry), err)) {
				return
			}
			for _, r := range ranges {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// A goStep is a value of one of a function's tables, and up to where it holds.
type goStep struct {
	until uint32 // relative to GoTable.text
	value int32
}

// A goBody is the tables of one function, decoded.
type goBody struct {
	table                *GoTable
	record               goRecord
	files, lines, inline goSteps
	scopes               map[int32]*Scope // by index in the inline tree; -1 is the function
	paths                map[int32]string
}

// functionRanges decodes function i.
func (t *GoTable) functionRanges(i int, wanted func(low, high uint64) bool) ([]Range, error) {
	fn, err := t.function(i)
	if err != nil || fn.end <= fn.entry {
		return nil, err
	}
	b := goBody{table: t, record: fn, scopes: map[int32]*Scope{}, paths: map[int32]string{}}
	for i, part := range []struct {
		offset uint32
		steps  *goSteps
	}{{fn.fileTable, &b.files}, {fn.lineTable, &b.lines}, {fn.inlineTable, &b.inline}} {
		if t.steps[i], err = t.decode(t.steps[i][:0], part.offset, fn); err != nil {
			return nil, err
		}
		part.steps.all = t.steps[i]
	}
	end := fn.end
	if fn.lineTable != 0 { // what it does not cover is padding
		if len(b.lines.all) == 0 {
			return nil, nil
		}
		end = min(end, b.lines.all[len(b.lines.all)-1].until)
	}
	var ranges []Range
	for at := fn.entry; at < end; {
		until := b.until(at, end)
		if !wanted(t.text+uint64(at), t.text+uint64(until)) {
			at = until
			continue
		}
		r, err := b.at(at, until)
		if err != nil {
			return nil, err
		}
		if n := len(ranges); n > 0 && ranges[n-1].High == r.Low && ranges[n-1].Scope == r.Scope && ranges[n-1].File == r.File && ranges[n-1].Line == r.Line {
			ranges[n-1].High = r.High
		} else {
			ranges = append(ranges, r)
		}
		at = until
	}
	return ranges, nil
}

// goSteps are all values of a table, and where one was found last: they are mostly asked
// for in order of address.
type goSteps struct {
	all  []goStep
	last int
}

// decode appends the steps of a table up to the end of the function.
func (t *GoTable) decode(steps []goStep, table uint32, fn goRecord) ([]goStep, error) {
	if table == 0 {
		return steps, nil
	}
	d := varints{table: t, at: uint64(table)}
	value, until := int32(-1), uint64(fn.entry)
	for first := true; until < uint64(fn.end); first = false {
		if t.remaining--; t.remaining < 0 {
			return nil, fmt.Errorf("line tables of more than %d steps: %w", maxGoSteps, ErrMalformed)
		}
		delta, err := d.next()
		if err != nil {
			return nil, err
		}
		if delta == 0 && !first {
			break
		}
		value += int32(-(delta & 1) ^ (delta >> 1))
		step, err := d.next()
		if err != nil {
			return nil, err
		}
		until += uint64(step) * uint64(t.quantum)
		steps = append(steps, goStep{uint32(min(until, uint64(fn.end))), value})
	}
	return steps, nil
}

// step returns the value that holds at pc and up to where it does, and false where
// the table does not cover it.
func (s *goSteps) step(pc, end uint32) (value int32, until uint32, ok bool) {
	const near = 4
	steps, i := s.all, s.last
	for n := 0; n < near && i < len(steps) && steps[i].until <= pc; n++ {
		i++
	}
	if i < len(steps) && steps[i].until > pc && (i == 0 || steps[i-1].until <= pc) {
		s.last = i
		return steps[i].value, min(steps[i].until, end), true
	}
	i, _ = slices.BinarySearchFunc(steps, pc, func(s goStep, pc uint32) int {
		if s.until <= pc {
			return -1
		}
		return 1
	})
	if i == len(steps) {
		return -1, end, false
	}
	return steps[i].value, min(steps[i].until, end), true
}

// until returns up to where everything is as at pc.
func (b *goBody) until(pc, end uint32) uint32 {
	for _, steps := range []*goSteps{&b.inline, &b.files, &b.lines} {
		_, end, _ = steps.step(pc, end)
	}
	return end
}

// at returns the range from pc up to until.
func (b *goBody) at(pc, until uint32) (Range, error) {
	index, _, ok := b.inline.step(pc, until)
	if !ok || b.record.inlineTree == goNoOffset {
		index = -1
	}
	r := Range{Low: b.table.text + uint64(pc), High: b.table.text + uint64(until)}
	var err error
	switch {
	case index >= 0 && !b.table.inlining:
		index = -1
		r.File, err = b.ownFile()
	default:
		r.File, r.Line, err = b.position(pc)
	}
	if err != nil {
		return Range{}, err
	}
	r.Scope, err = b.scope(index, maxGoInlined)
	return r, err
}

// ownFile returns the file of the function itself, as GoTable.ownFile does.
func (b *goBody) ownFile() (string, error) {
	if index, _, ok := b.inline.step(b.record.entry, b.record.end); ok && index >= 0 {
		return "", nil
	}
	file, _, err := b.position(b.record.entry)
	return file, err
}

// position returns the file and line at pc, as GoTable.position does.
func (b *goBody) position(pc uint32) (string, int, error) {
	file, _, fileOK := b.files.step(pc, b.record.end)
	line, _, lineOK := b.lines.step(pc, b.record.end)
	if !fileOK || !lineOK || file < 0 || line < 0 || b.record.unit == goNoOffset {
		return "", 0, nil
	}
	path, ok := b.paths[file]
	if !ok {
		at, err := b.table.word(b.table.units, (uint64(b.record.unit)+uint64(file))*4)
		if err != nil {
			return "", 0, err
		}
		if at == goNoOffset {
			return "", 0, nil
		}
		if path, err = b.table.file.stringAt(b.table.section(b.table.files), uint64(at)); err != nil {
			return "", 0, err
		}
		b.paths[file] = path
	}
	return path, int(line), nil
}

// scope returns the function at an index of the inline tree, within those that it
// was inlined into.
func (b *goBody) scope(index int32, depth int) (*Scope, error) {
	if s, ok := b.scopes[index]; ok {
		return s, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("inlined more than %d deep: %w", maxGoInlined, ErrMalformed)
	}
	s := &Scope{Source: FromGoTable, StartLine: int(b.record.startLine)}
	name := b.record.name
	if index >= 0 {
		call, err := b.table.inlinedCall(b.record, index)
		if err != nil {
			return nil, err
		}
		name, s.StartLine = call.name, int(call.startLine)
		pc := b.record.entry + call.parent
		if s.CallFile, s.CallLine, err = b.position(pc); err != nil {
			return nil, err
		}
		parent, _, ok := b.inline.step(pc, b.record.end)
		if !ok {
			parent = -1
		}
		if s.Caller, err = b.scope(parent, depth-1); err != nil {
			return nil, err
		}
	}
	var err error
	if s.Function, err = b.table.file.stringAt(b.table.section(b.table.names), uint64(name)); err != nil {
		return nil, err
	}
	if s.Function == "" {
		return nil, errors.Join(errors.New("a function without a name"), ErrMalformed)
	}
	b.scopes[index] = s
	return s, nil
}
