package binary

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The .xz container, from its specification (tukaani.org/xz/xz-file-format.txt),
// sections 2.1 and 3.1: a header, blocks, an index, a footer.
const (
	xzMagic          = "\xfd7zXZ\x00"
	xzHeader         = 12
	xzFilterLZMA2    = 0x21
	xzBlockFilters   = 0x03 // of a block's flags: one less than their number
	xzBlockReserved  = 0x3c
	xzBlockPacked    = 0x40 // the block's header has its size, compressed
	xzBlockUnpacked  = 0x80 // and decompressed
	xzCheckMask      = 0x0f
	xzLongestCheck   = 64
	xzSmallestWindow = 1 << 12
)

// unxz decompresses at most limit bytes of the first stream of an .xz file. The
// container is read here because a block's header decides how much memory its
// decoder takes. Checksums of the content are not compared: what comes out is as
// untrusted as what goes in.
func unxz(packed io.Reader, limit int) ([]byte, error) {
	in := &counted{Reader: bufio.NewReader(packed)}
	var header [xzHeader]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return nil, fmt.Errorf("reading the header of an xz stream: %w", err)
	}
	if string(header[:6]) != xzMagic || header[6] != 0 ||
		binary.LittleEndian.Uint32(header[8:]) != crc32.ChecksumIEEE(header[6:8]) {
		return nil, fmt.Errorf("not an xz stream: %w", ErrMalformed)
	}
	check := xzCheckSize(header[7] & xzCheckMask)
	var out bytes.Buffer
	for {
		window, more, err := in.blockHeader(limit)
		if err != nil || !more {
			return out.Bytes(), err
		}
		decoder, err := lzma.Reader2Config{DictCap: window}.NewReader2(in)
		if err != nil {
			return nil, fmt.Errorf("decompressing an xz block: %w: %w", err, ErrMalformed)
		}
		if _, err := io.Copy(&out, io.LimitReader(decoder, int64(limit-out.Len())+1)); err != nil {
			return nil, fmt.Errorf("decompressing an xz block: %w: %w", err, ErrMalformed)
		}
		if out.Len() > limit {
			return nil, fmt.Errorf("decompressing an xz stream: more than %d bytes: %w", limit, ErrTooLarge)
		}
		rest := int64(-in.n&3) + check // blocks are padded to 4 bytes
		if _, err := io.CopyN(io.Discard, in, rest); err != nil {
			return nil, fmt.Errorf("reading the end of an xz block: %w", err)
		}
	}
}

// xzCheckSize is how many bytes the check of a kind takes.
func xzCheckSize(kind byte) int64 {
	return [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, xzLongestCheck}[kind]
}

// A counted reader counts what is read of it.
type counted struct {
	*bufio.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *counted) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// blockHeader reads a block's header and returns how far back its content refers,
// in bytes; false where the index follows instead.
func (c *counted) blockHeader(limit int) (window int, more bool, err error) {
	size, err := c.ReadByte()
	if err != nil || size == 0 {
		return 0, false, err
	}
	header := make([]byte, 4*(int(size)+1))
	header[0] = size
	if _, err := io.ReadFull(c, header[1:]); err != nil {
		return 0, false, fmt.Errorf("reading the header of an xz block: %w", err)
	}
	body, sum := header[:len(header)-4], header[len(header)-4:]
	if binary.LittleEndian.Uint32(sum) != crc32.ChecksumIEEE(body) {
		return 0, false, fmt.Errorf("the header of an xz block does not match its checksum: %w", ErrMalformed)
	}
	flags, rest := body[1], body[2:]
	for _, sized := range []byte{xzBlockPacked, xzBlockUnpacked} {
		if flags&sized != 0 {
			_, n := binary.Uvarint(rest)
			rest = rest[max(n, 0):]
		}
	}
	// One filter, LZMA2, with one byte of properties: the size of its window.
	if flags&(xzBlockFilters|xzBlockReserved) != 0 || len(rest) < 3 || rest[0] != xzFilterLZMA2 || rest[1] != 1 {
		return 0, false, fmt.Errorf("an xz block with other filters than LZMA2: %w", ErrMalformed)
	}
	wanted, err := lzma.DecodeDictCap(rest[2])
	if err != nil {
		return 0, false, fmt.Errorf("the header of an xz block: %w: %w", err, ErrMalformed)
	}
	// A window larger than all that may come out is never filled.
	return int(max(min(wanted, int64(limit)), xzSmallestWindow)), true, nil
}
