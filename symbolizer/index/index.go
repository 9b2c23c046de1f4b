package index

import (
	"encoding/binary"
	"fmt"
	"io"
	"sort"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
)

// An Index is an open file. It keeps the reader and is not safe for concurrent
// use.
type Index struct {
	head
	size   int64
	closer io.Closer // nil if the reader is not the index's own

	rangeBlocks, functionBlocks section
	nodeBlocks, callerBlocks    section // of the same nodes; callers lie apart
	// The strings are read in three places at once: system names lie in the order of
	// addresses, and the names that were added later in that order again.
	systems, names, others section

	last  struct{ block, row int } // where the last address was found
	files map[uint32]string        // that were asked for, by offset
	whole *room                    // has the file; nil if it is not in memory
	text  text                     // of the strings that were asked for
}

// A Function is a row of the table of functions: what frames of one function and
// one source file share.
type Function struct {
	SystemName string // as the binary has it
	Name       string // for people; "" if nobody has made it yet
	File       string
	StartLine  int
	Source     elf.Source
}

// A Position is one frame: a function by its number, and the line in its file.
type Position struct {
	Function uint32
	Line     int
}

// Open reads the head of a file of size bytes. The error wraps ErrDamaged, or is
// what r answered.
func Open(r io.ReaderAt, size int64) (*Index, error) {
	x, err := open(r, size)
	if err != nil {
		return nil, fmt.Errorf("opening an index: %w", err)
	}
	return x, nil
}

func open(r io.ReaderAt, size int64) (*Index, error) {
	if size < blockSize || size%blockSize != 0 || size > MaxImage {
		return nil, fmt.Errorf("%d bytes: %w", size, ErrDamaged)
	}
	buffer := wholeRoom.Get().(*room)
	x, err := openFrom(r, size, buffer)
	if err != nil || size > atOnce {
		wholeRoom.Put(buffer)
		return x, err
	}
	x.whole = buffer
	for _, s := range x.parts() {
		s.whole = buffer.data[:size]
	}
	return x, nil
}

// openFrom reads the beginning of a file, or all of it, into a buffer.
func openFrom(r io.ReaderAt, size int64, buffer *room) (*Index, error) {
	begin := buffer.data[:min(size, atOnce)]
	if err := readFull(r, begin, 0); err != nil {
		return nil, err
	}
	h, buildID, source, err := decodeFixed(begin)
	if err != nil {
		return nil, err
	}
	// The identity's length counts in the head's size.
	h.buildID, h.source = string(begin[fixedHead:fixedHead+buildID]), string(begin[fixedHead+buildID:fixedHead+buildID+source])
	if h.size()+blockSize*h.blocks() != uint64(size) || binary.LittleEndian.Uint64(begin[24:]) != uint64(size) {
		return nil, fmt.Errorf("%d bytes do not fit its counts: %w", size, ErrDamaged)
	}
	whole := begin
	if h.size() > uint64(len(begin)) {
		whole = make([]byte, h.size())
		if err := readFull(r, whole, 0); err != nil {
			return nil, err
		}
	}
	if err := h.decodeRest(whole[:h.size()], buildID, source); err != nil {
		return nil, err
	}
	return newIndex(h, r, size), nil
}

// atOnce is how much of a file is read at first: most indexes are smaller than this,
// and then stay in memory until they rest.
const atOnce = 256 << 10

func newIndex(h head, r io.ReaderAt, size int64) *Index {
	x := &Index{head: h, size: size, files: map[uint32]string{}}
	ranges, nodes, functions, strings := h.sections()
	at, sums := int64(h.size()), h.sums
	for _, part := range []struct {
		sections []*section
		blocks   uint64
	}{
		{[]*section{&x.rangeBlocks}, ranges}, {[]*section{&x.nodeBlocks, &x.callerBlocks}, nodes}, {[]*section{&x.functionBlocks}, functions},
		{[]*section{&x.systems, &x.names, &x.others}, strings},
	} {
		for _, s := range part.sections {
			*s = section{r: r, at: at, sums: sums[:part.blocks]}
		}
		at, sums = at+int64(part.blocks)*blockSize, sums[part.blocks:]
	}
	return x
}

func (x *Index) parts() []*section {
	return []*section{&x.rangeBlocks, &x.nodeBlocks, &x.callerBlocks, &x.functionBlocks, &x.systems, &x.names, &x.others}
}

func readFull(r io.ReaderAt, data []byte, at int64) error {
	if n, err := r.ReadAt(data, at); n < len(data) {
		if err == nil || err == io.EOF {
			err = ErrDamaged
		}
		return fmt.Errorf("reading %d bytes at %d: %w", len(data), at, err)
	}
	return nil
}

// Close closes the file of an index that a Folder opened.
func (x *Index) Close() error {
	x.Rest()
	if x.closer == nil {
		return nil
	}
	return x.closer.Close()
}

// BuildID is the identity of the binary that the index is of.
func (x *Index) BuildID() string { return x.buildID }

// Source says what the index was made from.
func (x *Index) Source() string { return x.source }

// Partial tells whether the index is of some addresses only.
func (x *Index) Partial() bool { return x.partial }

// Functions is the number of rows of functions.
func (x *Index) Functions() int { return int(x.functions) }

// Ranges is the number of ranges of code, those of nobody's included.
func (x *Index) Ranges() int { return int(x.ranges) }

// Size is the file's size in bytes.
func (x *Index) Size() int64 { return x.size }

// Memory returns about how many bytes the open index takes while it rests, for a
// cache's budget.
func (x *Index) Memory() int {
	return 4*(len(x.firsts)+len(x.sums)) + 2048
}

// Rest gives the memory of the blocks back that the last lookups read. The index
// can still be used.
func (x *Index) Rest() {
	for _, s := range x.parts() {
		s.rest()
	}
	if x.whole != nil {
		wholeRoom.Put(x.whole)
		x.whole = nil
	}
	clear(x.files)
	x.text = text{}
}

// Knowledge is what an index knows about an address.
type Knowledge int

// What an index may know.
const (
	Unknown Knowledge = iota // nothing, because it is partial
	Nobody                   // that no function has the code there
	Known                    // the functions
)

// Find returns the node of the code at the ELF virtual address addr, if its functions
// are Known. Ascending addresses are found fastest.
func (x *Index) Find(addr uint64) (node uint32, k Knowledge, err error) {
	nobody := Nobody
	if x.partial {
		nobody = Unknown
	}
	if x.ranges == 0 || addr < x.base || addr-x.base >= unasked {
		return 0, nobody, nil
	}
	at := uint32(addr - x.base)
	block := x.last.block
	if x.firsts[block] > at || block+1 < len(x.firsts) && x.firsts[block+1] <= at {
		block = sort.Search(len(x.firsts), func(i int) bool { return x.firsts[i] > at }) - 1
		if block < 0 {
			return 0, nobody, nil
		}
		x.last.block, x.last.row = block, 0
	}
	data, err := x.rangeBlocks.block(block)
	if err != nil {
		return 0, Unknown, fmt.Errorf("finding %#x: %w", addr, err)
	}
	count := min(rangesABlock, int(x.ranges)-block*rangesABlock)
	row := search(data[:count*rangeSize], at, x.last.row)
	if row < 0 {
		return 0, Unknown, fmt.Errorf("finding %#x: ranges out of order: %w", addr, ErrDamaged)
	}
	x.last.row = row
	switch node = binary.LittleEndian.Uint32(data[row*rangeSize+4:]); node {
	case none:
		return 0, Nobody, nil
	case unasked:
		return 0, Unknown, nil
	}
	return node, Known, nil
}

// search returns the last row that starts at or before at, or -1. It begins at a
// guess, from which it first widens its steps.
func search(rows []byte, at uint32, guess int) int {
	start := func(i int) uint32 { return binary.LittleEndian.Uint32(rows[i*rangeSize:]) }
	low, high := -1, len(rows)/rangeSize // start(low) <= at < start(high), as if beyond the ends
	if guess < high && start(guess) <= at {
		low = guess
		for step := 1; low+step < high; step *= 2 {
			if start(low+step) > at {
				high = low + step
				break
			}
			low += step
		}
	}
	for low+1 < high {
		if middle := int(uint(low+high) / 2); start(middle) <= at {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// Stack appends the frames of a node that Find returned, innermost first.
func (x *Index) Stack(node uint32, stack []Position) ([]Position, error) {
	blocks := &x.nodeBlocks
	for range maxInlined {
		if node >= x.nodes {
			return stack, fmt.Errorf("node %d of %d: %w", node, x.nodes, ErrDamaged)
		}
		data, err := blocks.block(int(node / nodesABlock))
		if err != nil {
			return stack, err
		}
		row := data[node%nodesABlock*nodeSize:][:nodeSize]
		stack = append(stack, Position{
			Function: binary.LittleEndian.Uint32(row), Line: int(binary.LittleEndian.Uint32(row[4:])),
		})
		caller := binary.LittleEndian.Uint32(row[8:])
		if caller == none {
			return stack, nil
		}
		if caller >= node {
			return stack, fmt.Errorf("node %d is inlined into %d: %w", node, caller, ErrDamaged)
		}
		node, blocks = caller, &x.callerBlocks
	}
	return stack, fmt.Errorf("inlined more than %d deep: %w", maxInlined, ErrDamaged)
}

// Function returns a row of the table of functions.
func (x *Index) Function(id uint32) (Function, error) {
	row, err := x.functionRow(id)
	if err != nil {
		return Function{}, err
	}
	f := Function{StartLine: int(row.line & maxLine), Source: elf.Source(row.line >> sourceBits)}
	if f.SystemName, err = x.stringAt(&x.systems, row.system); err != nil {
		return Function{}, err
	}
	switch row.name {
	case row.system:
		f.Name = f.SystemName
	default:
		if f.Name, err = x.stringAt(&x.names, row.name); err != nil {
			return Function{}, err
		}
	}
	var known bool
	if f.File, known = x.files[row.file]; !known {
		if f.File, err = x.stringAt(&x.others, row.file); err != nil {
			return Function{}, err
		}
		x.files[row.file] = f.File
	}
	return f, nil
}

// A functionRow is a function as the table has it.
type functionRow struct{ system, name, file, line uint32 }

func (x *Index) functionRow(id uint32) (functionRow, error) {
	if id >= x.functions {
		return functionRow{}, fmt.Errorf("function %d of %d: %w", id, x.functions, ErrDamaged)
	}
	data, err := x.functionBlocks.block(int(id / functionBlock))
	if err != nil {
		return functionRow{}, err
	}
	row, order := data[id%functionBlock*functionSize:][:functionSize], binary.LittleEndian
	return functionRow{order.Uint32(row), order.Uint32(row[4:]), order.Uint32(row[8:]), order.Uint32(row[12:])}, nil
}

// stringAt reads the string at an offset among the strings.
func (x *Index) stringAt(blocks *section, at uint32) (string, error) {
	if at == 0 {
		return "", nil
	}
	if uint64(at) >= x.strings {
		return "", fmt.Errorf("a string at %d of %d: %w", at, x.strings, ErrDamaged)
	}
	data, err := blocks.block(int(at / blockSize))
	if err != nil {
		return "", err
	}
	data = data[at%blockSize:]
	length, n := binary.Uvarint(data)
	if n > 0 && length <= uint64(len(data)-n) && length <= x.strings-uint64(at)-uint64(n) {
		return x.text.add(data[n : n+int(length)])
	}
	return x.longString(blocks, uint64(at))
}

// longString reads a string that goes on in the next blocks.
func (x *Index) longString(blocks *section, at uint64) (string, error) {
	var prefix [binary.MaxVarintLen32]byte
	have := prefix[:min(uint64(len(prefix)), x.strings-at)]
	if err := blocks.copyTo(have, at); err != nil {
		return "", err
	}
	length, used := binary.Uvarint(have)
	if used <= 0 || length > maxName || length > x.strings-at-uint64(used) {
		return "", fmt.Errorf("a string of %d bytes at %d of %d: %w", length, at, x.strings, ErrDamaged)
	}
	data := make([]byte, length)
	if err := blocks.copyTo(data, at+uint64(used)); err != nil {
		return "", err
	}
	return x.text.add(data)
}

// copyTo fills data with the bytes of the section at an offset.
func (s *section) copyTo(data []byte, at uint64) error {
	for len(data) > 0 {
		block, err := s.block(int(at / blockSize))
		if err != nil {
			return err
		}
		n := copy(data, block[at%blockSize:])
		data, at = data[n:], at+uint64(n)
	}
	return nil
}
