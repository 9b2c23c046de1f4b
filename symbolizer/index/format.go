package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrDamaged is what errors wrap when a file is not what a Builder wrote.
var ErrDamaged = errors.New("damaged index")

// ErrTooLarge is what errors wrap when a binary's code does not fit the format
// or its limits.
var ErrTooLarge = errors.New("too much code for an index")

// version is that of the layout and of what the rows mean. An index of another
// version is made anew.
const version = 1

const (
	magic     = "NARROWSX"
	blockSize = 4096
	fixedHead = 64 // bytes of the head before the build ID

	rangeSize     = 8
	nodeSize      = 12
	functionSize  = 16
	rangesABlock  = blockSize / rangeSize
	nodesABlock   = blockSize / nodeSize
	functionBlock = blockSize / functionSize // functions a block

	none       = 1<<32 - 1 // of nodes
	unasked    = 1<<32 - 2 // of nodes: not known whose code it is
	sourceBits = 28        // where the source begins in a starting line
	maxLine    = 1<<sourceBits - 1
)

// Limits on what a file may make this package do, and on what is written.
const (
	maxRanges    = 8 << 20
	maxStrings   = 256 << 20
	maxName      = 64 << 10
	maxIdentity  = 1024 // bytes of a build ID, and of a source
	maxInlined   = 1024
	maxFunctions = 4 << 20
)

// MaxImage bounds the bytes of a file. A binary that needs more, of about 100 MB
// of machine code, has none.
const MaxImage = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A head is what the first blocks of a file say.
type head struct {
	base                     uint64
	ranges, nodes, functions uint32
	partial                  bool
	strings                  uint64 // bytes
	buildID, source          string

	firsts []uint32 // by block of ranges: the start of its first
	sums   []uint32 // by block of the sections
}

// blocksOf is how many blocks n rows take.
func blocksOf(n uint64, rows uint64) uint64 { return (n + rows - 1) / rows }

// sections returns the number of blocks of each section.
func (h *head) sections() (ranges, nodes, functions, strings uint64) {
	return blocksOf(uint64(h.ranges), rangesABlock), blocksOf(uint64(h.nodes), nodesABlock),
		blocksOf(uint64(h.functions), functionBlock), blocksOf(h.strings, blockSize)
}

// blocks is the number of blocks of all sections.
func (h *head) blocks() uint64 {
	r, n, f, s := h.sections()
	return r + n + f + s
}

// size is the number of bytes of the head, padding included.
func (h *head) size() uint64 {
	ranges, _, _, _ := h.sections()
	return blockSize * blocksOf(uint64(fixedHead+len(h.buildID)+len(h.source))+4*ranges+4*h.blocks(), blockSize)
}

// encode lays out the head:
//
//	 0 magic          8  version            12  CRC-32C of the head, as if it were 0 here
//	16 base          24  size of the file   32  ranges, nodes, functions,
//	                                           and 1 if the index is partial
//	48 bytes of strings                     56  length of build ID, of source (16 bits each)
//	64 build ID, source, firsts, sums
func (h *head) encode() []byte {
	b := make([]byte, h.size())
	copy(b, magic)
	order := binary.LittleEndian
	order.PutUint32(b[8:], version)
	order.PutUint64(b[16:], h.base)
	order.PutUint64(b[24:], h.size()+blockSize*h.blocks())
	order.PutUint32(b[32:], h.ranges)
	order.PutUint32(b[36:], h.nodes)
	order.PutUint32(b[40:], h.functions)
	if h.partial {
		order.PutUint32(b[44:], 1)
	}
	order.PutUint64(b[48:], h.strings)
	order.PutUint16(b[56:], uint16(len(h.buildID)))
	order.PutUint16(b[58:], uint16(len(h.source)))
	at := fixedHead
	at += copy(b[at:], h.buildID)
	at += copy(b[at:], h.source)
	for _, list := range [][]uint32{h.firsts, h.sums} {
		for _, v := range list {
			order.PutUint32(b[at:], v)
			at += 4
		}
	}
	order.PutUint32(b[12:], crc32.Checksum(b, castagnoli))
	return b
}

// decodeFixed reads the counts of a head and checks them against the limits, so
// that they bound what is read next.
func decodeFixed(b []byte) (h head, buildID, source int, err error) {
	order := binary.LittleEndian
	if string(b[:8]) != magic {
		return h, 0, 0, fmt.Errorf("it does not begin as one: %w", ErrDamaged)
	}
	if v := order.Uint32(b[8:]); v != version {
		return h, 0, 0, fmt.Errorf("version %d, not %d: %w", v, version, ErrDamaged)
	}
	h = head{
		base: order.Uint64(b[16:]), strings: order.Uint64(b[48:]),
		ranges: order.Uint32(b[32:]), nodes: order.Uint32(b[36:]), functions: order.Uint32(b[40:]),
		partial: order.Uint32(b[44:]) == 1,
	}
	buildID, source = int(order.Uint16(b[56:])), int(order.Uint16(b[58:]))
	if h.ranges > maxRanges || h.nodes > maxRanges || h.functions > maxFunctions || h.strings > maxStrings ||
		h.strings == 0 || buildID > maxIdentity || source > maxIdentity {
		return h, 0, 0, fmt.Errorf("counts beyond the limits: %w", ErrDamaged)
	}
	return h, buildID, source, nil
}

// decodeRest reads what follows the fixed part, out of the whole head.
func (h *head) decodeRest(b []byte, buildID, source int) error {
	order := binary.LittleEndian
	want := order.Uint32(b[12:])
	order.PutUint32(b[12:], 0)
	defer order.PutUint32(b[12:], want)
	if crc32.Checksum(b, castagnoli) != want {
		return fmt.Errorf("the head's checksum differs: %w", ErrDamaged)
	}
	rest := b[fixedHead+buildID+source:]
	ranges, _, _, _ := h.sections()
	h.firsts, h.sums = make([]uint32, ranges), make([]uint32, h.blocks())
	for _, list := range [][]uint32{h.firsts, h.sums} {
		for i := range list {
			list[i] = order.Uint32(rest)
			rest = rest[4:]
		}
	}
	return nil
}
