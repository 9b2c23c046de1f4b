package glyph

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// workspace is what the work on one segment needs; making one takes longer than the
// work on a short text.
type workspace struct {
	tokens  [batch]token
	glyphs  [batch]uint16
	text    []byte // a segment with padding
	stream  []byte // its glyphs, with room for the worst case
	payload []byte // their Zstandard frame
	zip     *zstd.Encoder
	unzip   *zstd.Decoder
}

func newWorkspace() (*workspace, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true), zstd.WithWindowSize(segmentSize))
	if err != nil {
		return nil, fmt.Errorf("making an encoder: %w", err)
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*segmentSize))
	if err != nil {
		return nil, fmt.Errorf("making a decoder: %w", err)
	}
	return &workspace{
		text:    make([]byte, 0, segmentSize+padding),
		stream:  make([]byte, 2*segmentSize+8),
		payload: make([]byte, 0, mostPayload),
		zip:     zip, unzip: unzip,
	}, nil
}

// acquire returns a workspace to be given to release.
func (c *Codec) acquire() (*workspace, error) {
	if !c.faults.Fresh {
		if w, ok := c.pool.Get().(*workspace); ok {
			return w, nil
		}
	}
	return newWorkspace()
}

func (c *Codec) release(w *workspace) {
	if !c.faults.Fresh {
		c.pool.Put(w)
	}
}
