package dwarf

import (
	order "encoding/binary"
	"fmt"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// SetSupplement has names looked up in the supplementary file that the debug information
// refers to, opened with binary.OpenSupplement. The error is as Open's.
func (d *Data) SetSupplement(f *binary.File) error {
	s := newData(f, d.maxMemory)
	if s.big != d.big {
		return fmt.Errorf("opening supplementary debug information: another byte order: %w", binary.ErrMalformed)
	}
	if err := s.readUnits(); err != nil {
		return fmt.Errorf("opening supplementary debug information: %w", err)
	}
	d.supplement = s
	return nil
}

func newData(f *binary.File, maxMemory int) *Data {
	return &Data{
		sections: sections{file: f, limit: maxMemory}, big: f.ByteOrder() == order.BigEndian, maxMemory: maxMemory, budget: maxUnitRanges,
		tables: map[abbreviationKey]*abbreviations{}, functions: map[uint64]function{}, trees: map[*unit]*kept{},
	}
}

// follow returns where a value of a unit refers to, in this file or in the supplementary
// one, and false if it is nowhere.
func (d *Data) follow(u *unit, v value) (in *Data, entry uint64, ok bool) {
	switch v.form {
	case formGNURefAlt, formRefSup4, formRefSup8:
		return d.supplement, v.number, d.supplement != nil
	}
	entry, ok = u.reference(v)
	return d, entry, ok
}

// lacks tells whether a value is in a supplementary file that is not there.
func (d *Data) lacks(v value) bool { return v.elsewhere() && d.supplement == nil }
