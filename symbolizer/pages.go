package symbolizer

import (
	"errors"
	"io"
	"sync"
)

const (
	pageSize  = 64 << 10
	pageCount = 128
)

// pages reads a file in pages and keeps those read last: naming reads each of a hundred
// thousand names by itself.
type pages struct {
	r    io.ReaderAt
	size int64
	kept []page
}

type page struct {
	number int64 // plus 1; 0 where empty
	data   []byte
	room   *[pageSize]byte // of data
}

// pageRoom has the memory of pages that nobody needs: one binary after the other takes it.
var pageRoom = sync.Pool{New: func() any { return new([pageSize]byte) }}

func newPages(r io.ReaderAt, size int64) *pages {
	return &pages{r: r, size: size, kept: make([]page, pageCount)}
}

// rest gives the memory back; the pages can still be used.
func (p *pages) rest() {
	for _, one := range p.kept {
		if one.room != nil {
			pageRoom.Put(one.room)
		}
	}
	clear(p.kept)
}

// ReadAt is io.ReaderAt's, but not safe for concurrent use.
func (p *pages) ReadAt(data []byte, off int64) (int, error) {
	if len(data) >= pageSize || off < 0 {
		return p.r.ReadAt(data, off)
	}
	done := 0
	for done < len(data) {
		page, err := p.page(off / pageSize)
		if err != nil {
			return done, err
		}
		within := int(off % pageSize)
		if within >= len(page) {
			return done, io.EOF
		}
		n := copy(data[done:], page[within:])
		done, off = done+n, off+int64(n)
	}
	return done, nil
}

// Peek returns bytes of the file from off on, as many as happen to be there. They are valid
// until something else is read.
func (p *pages) Peek(off int64) ([]byte, error) {
	if off < 0 {
		return nil, io.EOF
	}
	page, err := p.page(off / pageSize)
	if err != nil || int(off%pageSize) >= len(page) {
		return nil, err
	}
	return page[off%pageSize:], nil
}

func (p *pages) page(number int64) ([]byte, error) {
	slot := &p.kept[number%int64(len(p.kept))]
	if slot.number == number+1 {
		return slot.data, nil
	}
	slot.number = 0
	if slot.room == nil {
		slot.room = pageRoom.Get().(*[pageSize]byte)
	}
	size := min(pageSize, p.size-number*pageSize) // the last one may be shorter
	if size <= 0 {
		return nil, io.EOF
	}
	slot.data = slot.room[:size]
	if n, err := p.r.ReadAt(slot.data, number*pageSize); n < len(slot.data) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	slot.number = number + 1
	return slot.data, nil
}
