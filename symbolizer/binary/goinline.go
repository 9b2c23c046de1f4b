package binary

import (
	"errors"
	"fmt"
)

// An inlinedCall is runtime.inlinedCall: a function that was inlined, and where
// within the function that has the code its call stands.
type inlinedCall struct {
	name      uint32 // relative to GoTable.names
	parent    uint32 // offset from the entry of code whose line is the call's
	startLine int32
}

// inlineIndex returns the index in fn's inline tree of the innermost function
// inlined at pc, or -1 if the code there is fn's own.
func (t *GoTable) inlineIndex(fn goRecord, pc uint32) (int32, error) {
	if fn.inlineTable == 0 || fn.inlineTree == goNoOffset {
		return -1, nil
	}
	index, err := t.value(fn.inlineTable, fn.entry, pc)
	if errors.Is(err, errNotCovered) {
		return -1, nil
	}
	return index, err
}

// inlinedCall reads row index of fn's inline tree and checks all that is known
// about it: the name begins where another ends, the call lies within the
// function, the unused bytes are zero.
func (t *GoTable) inlinedCall(fn goRecord, index int32) (inlinedCall, error) {
	var b [goInlinedCallSize]byte
	if err := t.fill(b[:], t.inline, uint64(fn.inlineTree)+uint64(index)*goInlinedCallSize); err != nil {
		return inlinedCall{}, err
	}
	c := inlinedCall{
		name: t.order.Uint32(b[4:]), parent: t.order.Uint32(b[8:]), startLine: int32(t.order.Uint32(b[12:])),
	}
	bad := b[1] != 0 || b[2] != 0 || b[3] != 0 || c.startLine < 0 ||
		c.parent >= fn.end-fn.entry || uint64(c.name) >= t.names.size
	if !bad && c.name > 0 {
		var before [1]byte
		if err := t.fill(before[:], t.names, uint64(c.name)-1); err != nil {
			return inlinedCall{}, err
		}
		bad = before[0] != 0
	}
	if bad {
		return inlinedCall{}, fmt.Errorf("row %d of an inline tree: %w", index, ErrMalformed)
	}
	return c, nil
}

// inlineSample returns up to 64 functions, spread over the table, that have an
// inline tree. It answers false if records cannot be read.
func (t *GoTable) inlineSample() ([]goRecord, bool) {
	const wanted = 64
	var sample []goRecord
	step := max(1, len(t.functions)/(wanted*16))
	for i := 0; i < len(t.functions) && len(sample) < wanted; i += step {
		fn, err := t.function(i)
		if err != nil {
			return nil, false
		}
		if fn.inlineTable != 0 && fn.inlineTree != goNoOffset {
			sample = append(sample, fn)
		}
	}
	return sample, true
}

// wellFormed reports whether the inline trees of all functions of the sample
// are well-formed if the trees begin at r. A tree's length is not recorded, so
// its rows are those that the function's own table of indexes names.
func (t *GoTable) wellFormed(r region, sample []goRecord) bool {
	previous, inlining := t.inline, t.inlining
	defer func() { t.inline, t.inlining = previous, inlining }()
	t.inline, t.inlining = r, true
	rows := 0
	t.remaining = maxGoSteps
	defer func() { t.remaining = maxGoSteps }()
	for _, fn := range sample {
		highest, err := t.highest(fn)
		if err != nil || highest < 0 {
			return false
		}
		for _, index := range []int32{0, highest / 2, highest} {
			call, err := t.inlinedCall(fn, index)
			if err != nil {
				return false
			}
			if name, err := t.file.stringAt(t.section(t.names), uint64(call.name)); err != nil || name == "" {
				return false
			}
			rows++
		}
	}
	return rows > 0
}

// highest returns the highest value in fn's table of inline indexes.
func (t *GoTable) highest(fn goRecord) (int32, error) {
	d := varints{table: t, at: uint64(fn.inlineTable)}
	value, highest := int32(-1), int32(-1)
	for first := true; ; first = false {
		if t.remaining--; t.remaining < 0 {
			return 0, ErrMalformed
		}
		delta, err := d.next()
		if err != nil {
			return 0, err
		}
		if delta == 0 && !first {
			return highest, nil
		}
		value += int32(-(delta & 1) ^ (delta >> 1))
		highest = max(highest, value)
		if _, err := d.next(); err != nil {
			return 0, err
		}
	}
}
