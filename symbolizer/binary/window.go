package binary

const (
	windowBlocks = 16
	windowBlock  = 512
	windowSize   = windowBlocks * windowBlock
)

// A window keeps the blocks of a file that were read last, because the parts of
// a Go function's record lie close together and are read a few bytes at a time.
type window struct {
	block  uint64 // bytes of a block
	blocks [windowBlocks]struct {
		number uint64 // of the block in the file, plus 1; 0 where empty
		data   []byte
	}
}

// bytes returns up to n bytes of the file at off, no more than a block holds,
// and fewer at the end of a block. They are valid until the next call.
func (w *window) bytes(f *File, off uint64, n int) ([]byte, error) {
	number := off / w.block
	b := &w.blocks[number%windowBlocks]
	if b.number != number+1 {
		b.number = 0
		if off >= f.size {
			return nil, ErrMalformed
		}
		if b.data == nil {
			b.data = make([]byte, w.block)
		}
		b.data = b.data[:min(w.block, f.size-number*w.block)]
		if err := f.readInto(b.data, number*w.block); err != nil {
			return nil, err
		}
		b.number = number + 1
	}
	start := int(off % w.block)
	if start >= len(b.data) {
		return nil, ErrMalformed
	}
	return b.data[start:min(len(b.data), start+n)], nil
}

// fill copies the bytes at off within a region into data.
func (t *GoTable) fill(data []byte, r region, off uint64) error {
	if off > r.size || uint64(len(data)) > r.size-off {
		return ErrMalformed
	}
	for off += r.offset; len(data) > 0; {
		part, err := t.window.bytes(t.file, off, len(data))
		if err != nil {
			return err
		}
		n := copy(data, part)
		data, off = data[n:], off+uint64(n)
	}
	return nil
}

// word reads four bytes at off within a region.
func (t *GoTable) word(r region, off uint64) (uint32, error) {
	b := t.four[:]
	if err := t.fill(b, r, off); err != nil {
		return 0, err
	}
	return t.order.Uint32(b), nil
}
