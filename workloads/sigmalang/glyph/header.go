package glyph

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	magic, version = 'S', 1
	fixedHeader    = 2 + 4 + 4
)

// header is the beginning of a frame.
type header struct {
	fingerprint uint32 // of the codebook
	checksum    uint32 // of the text
	length      int    // of the text
}

func (h header) append(frame []byte) []byte {
	frame = append(frame, magic, version)
	frame = binary.LittleEndian.AppendUint32(frame, h.fingerprint)
	frame = binary.LittleEndian.AppendUint32(frame, h.checksum)
	return binary.AppendUvarint(frame, uint64(h.length))
}

// readHeader returns the header and what follows it.
func readHeader(frame []byte) (h header, rest []byte, err error) {
	if len(frame) < fixedHeader || frame[0] != magic || frame[1] != version {
		return header{}, nil, errors.New("it does not begin like one")
	}
	h.fingerprint = binary.LittleEndian.Uint32(frame[2:])
	h.checksum = binary.LittleEndian.Uint32(frame[6:])
	h.length, rest, err = readLength(frame[fixedHeader:], MaxText)
	return h, rest, err
}

// readLength reads a length that is bounded.
func readLength(frame []byte, most int) (length int, rest []byte, err error) {
	value, width := binary.Uvarint(frame)
	if width <= 0 || value > uint64(most) {
		return 0, nil, fmt.Errorf("a length in it is none of 0 to %d", most)
	}
	return int(value), frame[width:], nil
}
