package unwind

import (
	"fmt"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// headerSection finds .eh_frame in a file without section headers, by the
// pointer in .eh_frame_hdr (LSB 5.0, 10.6.2), to which a program header leads.
// How long it is is not said: it ends with a terminator, or with its segment.
func (c *compiler) headerSection() (frameSection, bool, error) {
	addr, ok := c.file.FrameHeader()
	if !ok {
		return frameSection{}, false, nil
	}
	header, ok := c.file.Loaded(addr)
	if !ok { // a file of debug information, whose code is in another
		return frameSection{}, false, nil
	}
	in := source{section: header}
	head, err := in.bytes(0, min(header.Size, 4+10))
	if err != nil {
		return frameSection{}, false, err
	}
	cursor := cursor{data: head}
	version, encoding := cursor.u8(), cursor.u8()
	cursor.take(2) // encodings of the table
	b := bases{section: addr, data: addr}
	frames := b.pointer(&cursor, encoding, 0)
	if cursor.bad || version != 1 || encoding == encodingOmit {
		return frameSection{}, false, fmt.Errorf(".eh_frame_hdr % x: %w", head, binary.ErrMalformed)
	}
	s, ok := c.file.Loaded(frames)
	if !ok {
		return frameSection{}, false, fmt.Errorf(".eh_frame at %#x is not in the file: %w", frames, binary.ErrMalformed)
	}
	s.Size = min(s.Size, maxSection)
	return frameSection{source: source{section: s}, terminated: true}, true, nil
}
