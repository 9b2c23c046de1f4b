package binary

const windowSize = 16 * 512

// A window keeps the blocks of a file that were read last, because the parts of
// a Go function's record lie close together and are read a few bytes at a time.
type window struct {
	blocks [16]struct {
		number uint64 // of the block in the file, plus 1; 0 where empty
		size   int
		data   [windowSize / 16]byte
	}
}

// bytes returns up to n bytes of the file at off, no more than a block holds,
// and fewer at the end of a block. They are valid until the next call.
func (w *window) bytes(f *File, off uint64, n int) ([]byte, error) {
	const block = uint64(len(w.blocks[0].data))
	number := off / block
	b := &w.blocks[number%uint64(len(w.blocks))]
	if b.number != number+1 {
		b.number = 0
		if off >= f.size {
			return nil, ErrMalformed
		}
		size := min(block, f.size-number*block)
		if err := f.readInto(b.data[:size], number*block); err != nil {
			return nil, err
		}
		b.number, b.size = number+1, int(size)
	}
	start := int(off % block)
	if start >= b.size {
		return nil, ErrMalformed
	}
	return b.data[start:min(b.size, start+n)], nil
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
	var b [4]byte
	if err := t.fill(b[:], r, off); err != nil {
		return 0, err
	}
	return t.order.Uint32(b[:]), nil
}
