package index

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Spans yields all that the index knows, in order of address. It ends after an error.
// The frames are valid until the next one.
func (x *Index) Spans() iter.Seq2[Span, error] {
	return func(yield func(Span, error) bool) {
		var stack []Position
		var span Span
		started := false
		emit := func(end uint64) bool {
			if !started {
				return true
			}
			span.High = end
			return yield(span, nil)
		}
		for i := range int(x.ranges) {
			data, err := x.rangeBlocks.block(i / rangesABlock)
			if err != nil {
				yield(Span{}, fmt.Errorf("reading an index: %w", err))
				return
			}
			row := data[i%rangesABlock*rangeSize:][:rangeSize]
			start, node := x.base+uint64(binary.LittleEndian.Uint32(row)), binary.LittleEndian.Uint32(row[4:])
			if !emit(start) {
				return
			}
			if started = node != unasked; !started {
				continue
			}
			span.Low, span.Frames = start, span.Frames[:0]
			if node == none {
				continue
			}
			if stack, err = x.Stack(node, stack[:0]); err == nil {
				span.Frames, err = x.frames(stack, span.Frames)
			}
			if err != nil {
				yield(Span{}, fmt.Errorf("reading an index: %w", err))
				return
			}
		}
	}
}

// frames appends the functions of a stack.
func (x *Index) frames(stack []Position, frames []Frame) ([]Frame, error) {
	for _, p := range stack {
		f, err := x.Function(p.Function)
		if err != nil {
			return frames, err
		}
		frames = append(frames, Frame{f, p.Line})
	}
	return frames, nil
}
