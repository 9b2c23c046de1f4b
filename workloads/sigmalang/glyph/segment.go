package glyph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// segmentSize is how much text is compressed on its own, in bytes: enough for most
// repetitions to lie within, and little enough for a long text to keep several
// cores busy.
const segmentSize = 256 << 10

// The modes of a segment.
const (
	plainMode = 1 // Zstandard of the text itself
	glyphMode = 2 // Zstandard of its glyphs
)

// mostPayload bounds the Zstandard frame of a segment: it stores what it cannot
// compress, at a cost of a few bytes for each 128 KiB.
const mostPayload = segmentSize + 1024

// batch is how many tokens go through a stage before the next stage sees them: few
// enough to stay in the fastest cache.
const batch = 512

// encodeSegments encodes the segments of a text side by side, on the core that the
// caller has and on those that are idle.
func (c *Codec) encodeSegments(text []byte) ([][]byte, error) {
	parts := make([][]byte, (len(text)+segmentSize-1)/segmentSize)
	errs := make([]error, len(parts))
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(parts) {
				return
			}
			parts[i], errs[i] = c.encodeSegment(text[i*segmentSize : min((i+1)*segmentSize, len(text))])
		}
	}
	var others sync.WaitGroup
	for range len(parts) - 1 {
		if !c.tryTake() {
			break
		}
		others.Go(func() { defer c.give(); work() })
	}
	work()
	others.Wait()
	return parts, errors.Join(errs...)
}

// tryTake takes a core if one is idle.
func (c *Codec) tryTake() bool {
	select {
	case c.turns <- struct{}{}:
		return true
	default:
		return false
	}
}

// encodeSegment returns a segment of a frame.
func (c *Codec) encodeSegment(text []byte) ([]byte, error) {
	w, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release(w)
	w.text = append(append(w.text[:0], text...), make([]byte, padding)...)
	mode, content := byte(glyphMode), c.substitute(w)
	if len(content) >= len(text) {
		mode, content = plainMode, text
	}
	w.payload = w.zip.EncodeAll(content, w.payload[:0])
	part := make([]byte, 0, 1+2*binary.MaxVarintLen32+len(w.payload))
	part = append(part, mode)
	part = binary.AppendUvarint(part, uint64(len(text)))
	part = binary.AppendUvarint(part, uint64(len(w.payload)))
	return append(part, w.payload...), nil
}

// substitute returns the glyphs of the workspace's text.
func (c *Codec) substitute(w *workspace) []byte {
	switch {
	case c.faults.Scan:
		return c.substituteBy(c.book.scanCodebook, w)
	case c.memo != nil:
		return c.memo.recall(c, w)
	}
	return c.substituteBy(c.book.matchCodebook, w)
}

// substituteBy takes the glyphs that match finds for some hundred tokens at a time.
func (c *Codec) substituteBy(match func(text []byte, tokens []token, glyphs []uint16), w *workspace) []byte {
	end, out := len(w.text)-padding, 0
	for at := 0; at < end; {
		var n int
		n, at = parse(w.text, at, end, w.tokens[:])
		tokens, glyphs := w.tokens[:n], w.glyphs[:n]
		match(w.text, tokens, glyphs)
		out = c.book.encodeGlyphs(w.stream, out, w.text, tokens, glyphs)
	}
	return w.stream[:out]
}

// decodeSegment appends the text of a frame's next segment to into, which must not
// become longer than most, and returns what follows the segment.
func (c *Codec) decodeSegment(w *workspace, into, frame []byte, most int) (longer, rest []byte, err error) {
	mode := frame[0]
	length, rest, err := readLength(frame[1:], min(segmentSize, most-len(into)))
	if err != nil {
		return nil, nil, err
	}
	size, rest, err := readLength(rest, min(mostPayload, len(rest)))
	if err != nil {
		return nil, nil, err
	}
	if size > len(rest) {
		return nil, nil, errors.New("it ends within a segment")
	}
	content, err := w.unzip.DecodeAll(rest[:size], w.stream[:0])
	if err != nil {
		return nil, nil, fmt.Errorf("reading its Zstandard frame: %w", err)
	}
	switch {
	case mode == plainMode && len(content) == length:
		return append(into, content...), rest[size:], nil
	case mode == plainMode:
		return nil, nil, fmt.Errorf("a segment holds %d bytes, and says %d", len(content), length)
	case mode != glyphMode:
		return nil, nil, fmt.Errorf("a segment's mode %d is unknown", mode)
	}
	text := w.text[:length+padding]
	if err := c.book.decodeGlyphs(text, content); err != nil {
		return nil, nil, err
	}
	return append(into, text[:length]...), rest[size:], nil
}
