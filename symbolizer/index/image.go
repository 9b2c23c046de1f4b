package index

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Image returns the content of the file for a binary of a build ID, made from the
// source described. It is valid until the Builder is reset. The error wraps ErrTooLarge.
func (b *Builder) Image(buildID, source string) ([]byte, error) {
	if len(buildID)+len(source) > maxIdentity {
		return nil, fmt.Errorf("an identity of %d bytes: %w", len(buildID)+len(source), ErrTooLarge)
	}
	b.begin()
	rows, base, err := b.order()
	if err != nil {
		return nil, err
	}
	h := head{
		base: base, ranges: uint32(len(rows)), nodes: uint32(len(b.nodes)), functions: uint32(len(b.rows)),
		partial: b.Partial, strings: uint64(len(b.text)), buildID: buildID, source: source,
	}
	start := int(h.size())
	if total := h.size() + blockSize*h.blocks(); total > MaxImage {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", total, MaxImage, ErrTooLarge)
	}
	image := slices.Grow(b.image[:0], start+blockSize*int(h.blocks()))[:start]
	order := binary.LittleEndian
	for i, r := range rows {
		if i%rangesABlock == 0 {
			h.firsts = append(h.firsts, r.start)
		}
		image = order.AppendUint32(order.AppendUint32(image, r.start), r.node)
	}
	image = pad(image)
	for i, n := range b.nodes {
		if i > 0 && i%nodesABlock == 0 {
			image = pad(image)
		}
		image = order.AppendUint32(order.AppendUint32(order.AppendUint32(image, n.function), n.line), n.caller)
	}
	image = pad(image)
	for _, f := range b.rows {
		image = f.append(image)
	}
	image = append(pad(image), b.text...)
	b.image = h.finish(image, start)
	return b.image, nil
}

// finish completes an image whose sections begin at start: with padding, and the
// head before them.
func (h *head) finish(image []byte, start int) []byte {
	image = pad(image)
	for at := start; at < len(image); at += blockSize {
		h.sums = append(h.sums, crc32.Checksum(image[at:at+blockSize], castagnoli))
	}
	copy(image, h.encode())
	return image
}

func (f functionRow) append(data []byte) []byte {
	for _, v := range [...]uint32{f.system, f.name, f.file, f.line} {
		data = binary.LittleEndian.AppendUint32(data, v)
	}
	return data
}

var zeros [blockSize]byte

// pad fills the last block.
func pad(data []byte) []byte {
	return append(data, zeros[:(blockSize-len(data)%blockSize)%blockSize]...)
}

// A startRow is a range as the file has it.
type startRow struct{ start, node uint32 }

// order sorts the ranges, cuts what overlaps, and closes gaps with what is not known
// or nobody's.
func (b *Builder) order() (rows []startRow, base uint64, err error) {
	ascending := func(a, c codeRange) int {
		return cmp.Or(cmp.Compare(a.low, c.low), cmp.Compare(a.high, c.high))
	}
	if !slices.IsSortedFunc(b.ranges, ascending) {
		slices.SortStableFunc(b.ranges, ascending)
	}
	if len(b.ranges) == 0 {
		return nil, 0, nil
	}
	gap := uint32(none)
	if b.Partial {
		gap = unasked
	}
	base = b.ranges[0].low
	rows = slices.Grow(b.starts[:0], len(b.ranges)+len(b.ranges)/8+1)
	defer func() { b.starts = rows }()
	end := base
	for _, r := range b.ranges {
		low := max(r.low, end)
		if r.high <= low {
			continue
		}
		if r.high-base >= unasked {
			return nil, 0, fmt.Errorf("code from %#x to %#x: %w", base, r.high, ErrTooLarge)
		}
		if low > end {
			rows = append(rows, startRow{uint32(end - base), gap})
		}
		if last := len(rows) - 1; last < 0 || low > end || rows[last].node != r.node {
			rows = append(rows, startRow{uint32(low - base), r.node})
		}
		end = r.high
	}
	return append(rows, startRow{uint32(end - base), gap}), base, nil
}
