package glyph

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// MaxText is the longest text that is taken, in bytes.
const MaxText = 16 << 20

// ErrTooLong says that a text is longer than MaxText.
var ErrTooLong = fmt.Errorf("the text is longer than %d bytes", MaxText)

// ErrFrame is behind every error about a frame that cannot be decoded.
var ErrFrame = errors.New("not a frame of this service")

// Faults are the ways in which a codec can be made worse on purpose. The zero
// value has none.
type Faults struct {
	// Scan compares tokens with patterns one by one, instead of by a hash table.
	Scan bool
	// Bitwise computes checksums bit by bit.
	Bitwise bool
	// Fresh makes buffers, encoder and decoder anew for each segment instead of
	// using those of earlier ones again.
	Fresh bool
	// Memo asks a memo that all who encode share for the words' glyphs, a segment
	// at a time, under its one lock.
	Memo bool
}

// Codec encodes and decodes. Any number of callers may use it at a time; it
// computes on a bounded number of cores.
type Codec struct {
	book   *Codebook
	faults Faults
	turns  chan struct{} // one for each core in use
	pool   sync.Pool     // of *workspace
	memo   *wordMemo     // only with the fault Memo
}

// NewCodec returns a codec that computes on so many cores at once.
func NewCodec(book *Codebook, cores int, faults Faults) *Codec {
	c := &Codec{book: book, faults: faults, turns: make(chan struct{}, max(1, cores))}
	if faults.Memo {
		c.memo = newWordMemo()
	}
	return c
}

// Faults are those it was made with.
func (c *Codec) Faults() Faults { return c.faults }

// Cores is how many it computes on at most.
func (c *Codec) Cores() int { return cap(c.turns) }

// Busy is the number of cores in use.
func (c *Codec) Busy() int { return len(c.turns) }

// Encode waits for a core until ctx ends and appends the frame of a text to into.
// Long texts take more cores while there are idle ones. The error is ErrTooLong,
// or why ctx ended.
func (c *Codec) Encode(ctx context.Context, into, text []byte) ([]byte, error) {
	if len(text) > MaxText {
		return into, ErrTooLong
	}
	if err := c.take(ctx); err != nil {
		return into, err
	}
	defer c.give()
	h := header{c.book.fingerprint, c.checksum(text), len(text)}
	parts, err := c.encodeSegments(text)
	if err != nil {
		return into, err
	}
	into = h.append(into)
	for _, part := range parts {
		into = append(into, part...)
	}
	return into, nil
}

// Decode waits for a core until ctx ends and appends the text of a frame to into.
// Errors are an ErrFrame, or why ctx ended.
func (c *Codec) Decode(ctx context.Context, into, frame []byte) ([]byte, error) {
	if err := c.take(ctx); err != nil {
		return into, err
	}
	defer c.give()
	text, err := c.decode(into, frame)
	if err != nil {
		return into, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return text, nil
}

func (c *Codec) decode(into, frame []byte) ([]byte, error) {
	h, rest, err := readHeader(frame)
	if err != nil {
		return nil, err
	}
	if h.fingerprint != c.book.fingerprint {
		return nil, errors.New("it was written with another codebook")
	}
	w, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release(w)
	begin := len(into)
	for len(rest) > 0 {
		if into, rest, err = c.decodeSegment(w, into, rest, begin+h.length); err != nil {
			return nil, err
		}
	}
	text := into[begin:]
	if len(text) != h.length {
		return nil, fmt.Errorf("it holds %d bytes of text, and says %d", len(text), h.length)
	}
	if c.checksum(text) != h.checksum {
		return nil, errors.New("the text's checksum is another one")
	}
	return into, nil
}

func (c *Codec) take(ctx context.Context) error {
	select {
	case c.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Codec) give() { <-c.turns }

func (c *Codec) checksum(text []byte) uint32 {
	if c.faults.Bitwise {
		return checksumBitwise(text)
	}
	return checksum(text)
}
