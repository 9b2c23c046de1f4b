package unwind

import (
	"encoding/binary"
	"slices"
)

// x86BX is the register that code which realigns the stack by hand keeps the CFA
// in: the C library's _dl_runtime_resolve, through which programs call each
// function of another library for the first time.
const x86BX = 3

// addCallSites makes rules for the callers among frames whose CFA is relative to
// BX. What BX is there is known in the leaf only; but the function called has
// saved it, as its own description says, at a place below the stack pointer. So
// behind the call the CFA is what lies there, plus a constant. Such a row holds
// for the last byte of the call only, by which return addresses are looked up.
func (m *machine) addCallSites() error {
	if m.arch.linked {
		return nil
	}
	for i := 0; i+1 < len(m.rows.rows); i++ {
		row := m.rows.rows[i]
		if row.Kind != KindWide {
			continue
		}
		w := m.wides[uint16(row.CFA)]
		if w.CFARegister != x86BX || w.Flags&^WideFPSaved != 0 || w.CFA != int32(int16(w.CFA)) {
			continue
		}
		added, err := m.addCallSitesIn(row, m.rows.rows[i+1].PC, w)
		if err != nil {
			return err
		}
		i += 2 * added
	}
	return m.rows.err
}

const (
	maxCallSites = 64       // in all, each of which costs as much as a description
	maxCallers   = 64 << 10 // bytes of code of a stretch with such a rule
	callLength   = 5        // call rel32
	callCode     = byte(0xe8)
)

// addCallSitesIn does it for one row, which holds until an address, and returns
// how many it added.
func (m *machine) addCallSitesIn(row Row, until uint32, w Wide) (added int, err error) {
	segment, ok := m.file.Loaded(m.origin + uint64(row.PC))
	if !ok {
		return 0, nil
	}
	code := make([]byte, min(uint64(until-row.PC), maxCallers, segment.Size))
	if err := (&source{section: segment}).read(code, 0); err != nil {
		return 0, err
	}
	for at := 0; at+callLength <= len(code) && m.callSites < maxCallSites; at++ {
		if code[at] != callCode {
			continue
		}
		end := row.PC + uint32(at) + callLength
		target := end + binary.LittleEndian.Uint32(code[at+1:])
		saved, ok, err := m.saves(target)
		if err != nil {
			return added, err
		}
		if !ok {
			continue
		}
		rule := Wide{Flags: w.Flags | WideDeref, CFARegister: m.arch.sp, CFA: saved, After: int16(w.CFA), FP: w.FP, RA: w.RA}
		m.rows.rows = overlay(m.rows.rows, end-1, end, m.wideRule(rule))
		m.callSites++
		added++
	}
	return added, nil
}

// saves returns where the function that begins at an address saves BX, in bytes
// from its CFA, if it does so at one place.
func (m *machine) saves(start uint32) (offset int32, ok bool, err error) {
	i, found := slices.BinarySearchFunc(m.descriptions, start, func(d description, start uint32) int {
		switch {
		case d.start < start:
			return -1
		case d.start > start:
			return 1
		}
		return 0
	})
	if !found {
		return 0, false, nil
	}
	// To the same machine BX can be the frame pointer.
	arch := *m.arch
	arch.fp = x86BX
	c := *m.compiler
	c.arch, c.wides, c.indexes, c.statistics = &arch, nil, make(map[Wide]uint16), Statistics{}
	other := machine{
		compiler: &c, section: m.section, bases: m.bases, steps: m.steps,
		commons: commons{known: make(map[uint64]*common)}, rows: builder{limit: 4096},
	}
	if err := other.run(m.descriptions[i]); err != nil || other.rows.err != nil {
		return 0, false, err
	}
	for _, row := range other.rows.rows {
		if row.Kind != KindSP && row.Kind != KindFP || row.FP == 0 {
			continue
		}
		if offset != 0 && offset != 8*int32(row.FP) {
			return 0, false, nil
		}
		offset = 8 * int32(row.FP)
	}
	return offset, offset < 0, nil
}
