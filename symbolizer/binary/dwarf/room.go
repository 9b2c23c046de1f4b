package dwarf

import "sync"

// A room is memory for what is read and made at a time. One binary after the other takes
// it: most of them have some thousand units, and each would let buffers grow anew.
type room struct {
	unit    []byte // the bytes of Data.loaded
	list    []byte
	lines   []byte
	entry   []byte
	small   []byte
	abbrevs []byte

	attributes []attribute
	dense      []abbreviation
	scopes     []scope
	spans      []covered
	flat       []covered
	active     byScope
	rows       []lineRow
	ends       []int
	sequences  [][]lineRow
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// maxRested is how many bytes of a unit are kept for the next binary.
const maxRested = 4 << 20

// buffers returns the room, which it takes if need be.
func (d *Data) buffers() *room {
	if d.room == nil {
		d.room = rooms.Get().(*room)
	}
	return d.room
}

// rest gives the room back until it is needed again.
func (d *Data) rest() {
	if d.supplement != nil {
		d.supplement.rest()
	}
	if d.room == nil {
		return
	}
	d.loaded = nil
	r := d.room
	d.room = nil
	if cap(r.unit)+cap(r.lines)+16*cap(r.rows)+24*(cap(r.spans)+cap(r.flat)) > maxRested {
		return // left to the garbage collector
	}
	clear(r.sequences)
	rooms.Put(r)
}
