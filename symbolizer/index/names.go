package index

import (
	"encoding/binary"
	"fmt"
)

// WithNames returns the content of the same file with names for people: making
// them takes longer than a lookup, so those that were once asked for are kept.
// The names are by number of the function; numbers that do not exist are ignored.
// The error wraps ErrDamaged or ErrTooLarge, or is the reader's.
func (x *Index) WithNames(names map[uint32]string) ([]byte, error) {
	if x.size > MaxImage {
		return nil, fmt.Errorf("naming functions: %w", ErrTooLarge)
	}
	h := head{
		base: x.base, ranges: x.ranges, nodes: x.nodes, functions: x.functions, partial: x.partial, strings: x.strings,
		buildID: x.buildID, source: x.source, firsts: x.firsts,
	}
	start := int(h.size())
	image := make([]byte, start, x.size+int64(64*len(names)))
	var err error
	for _, s := range []*section{&x.rangeBlocks, &x.nodeBlocks} {
		if image, err = s.appendTo(image); err != nil {
			return nil, err
		}
	}
	functions := len(image)
	if image, err = x.functionBlocks.appendTo(image); err != nil {
		return nil, err
	}
	strings := len(image)
	if image, err = x.others.appendTo(image); err != nil {
		return nil, err
	}
	text := image[strings : strings+int(x.strings)]
	for id := range x.functions {
		name, ok := names[id]
		if !ok {
			continue
		}
		row := image[functions+int(id)*functionSize:][:functionSize]
		at := binary.LittleEndian.Uint32(row)
		if system, err := x.stringAt(&x.systems, at); err != nil {
			return nil, err
		} else if system != name {
			if at, err = appendString(&text, name); err != nil {
				return nil, fmt.Errorf("naming functions: %w", err)
			}
		}
		binary.LittleEndian.PutUint32(row[4:], at)
	}
	h.strings = uint64(len(text))
	image = append(image[:strings], text...)
	if moved := int(h.size()) - start; moved > 0 { // more blocks of strings need more checksums
		image = append(make([]byte, moved, moved+len(image)+blockSize), image...)
		start += moved
	}
	if len(image) > MaxImage-blockSize {
		return nil, fmt.Errorf("naming functions makes it %d bytes: %w", len(image), ErrTooLarge)
	}
	return h.finish(image, start), nil
}

// appendTo appends all blocks of a section.
func (s *section) appendTo(data []byte) ([]byte, error) {
	for i := range s.sums {
		block, err := s.block(i)
		if err != nil {
			return nil, err
		}
		data = append(data, block...)
	}
	return data, nil
}
