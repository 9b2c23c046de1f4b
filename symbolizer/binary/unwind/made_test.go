package unwind_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// A made file has one executable segment, which is all of it, and the sections
// that it is given. Its code is at madeText.
const (
	madeBase  = 0x1000
	madeText  = madeBase + 0x200
	madeSize  = 0x400 // of the code
	madeAfter = madeText + madeSize
)

type madeSection struct {
	name string
	data []byte
}

// makeELF makes a file of sections, which lie behind the code, 16-aligned. Where
// header is set, there are no section headers, and PT_GNU_EH_FRAME points to the
// first of them.
func makeELF(machine uint16, header bool, sections ...madeSection) []byte {
	le := binary.LittleEndian
	file := make([]byte, madeAfter-madeBase)
	type place struct{ offset, size, name uint64 }
	var places []place
	names := []byte("\x00.text\x00.shstrtab\x00")
	for _, s := range sections {
		for len(file)%16 != 0 {
			file = append(file, 0)
		}
		places = append(places, place{uint64(len(file)), uint64(len(s.data)), uint64(len(names))})
		file = append(file, s.data...)
		names = append(append(names, s.name...), 0)
	}
	end := uint64(len(file))
	copy(file, "\x7fELF\x02\x01\x01")
	le.PutUint16(file[16:], 3)
	le.PutUint16(file[18:], machine)
	le.PutUint64(file[32:], 64) // e_phoff
	le.PutUint16(file[54:], 56)
	le.PutUint16(file[56:], 1)
	program := func(i int, kind, flags uint32, offset, size uint64) {
		b := file[64+i*56:]
		le.PutUint32(b, kind)
		le.PutUint32(b[4:], flags)
		le.PutUint64(b[8:], offset)
		le.PutUint64(b[16:], offset+madeBase)
		le.PutUint64(b[24:], offset+madeBase)
		le.PutUint64(b[32:], size)
		le.PutUint64(b[40:], size)
	}
	program(0, 1, 5, 0, end)
	if header {
		le.PutUint16(file[56:], 2)
		program(1, 0x6474e550, 4, places[0].offset, places[0].size)
		return file
	}
	places = append([]place{{}, {madeText - madeBase, madeSize, 1}}, places...)
	places = append(places, place{end, uint64(len(names)), 7})
	file = append(file, names...)
	le.PutUint64(file[40:], uint64(len(file))) // e_shoff
	le.PutUint16(file[58:], 64)
	le.PutUint16(file[60:], uint16(len(places)))
	le.PutUint16(file[62:], uint16(len(places)-1))
	for i, p := range places {
		var b [64]byte
		le.PutUint32(b[:], uint32(p.name))
		if i > 0 {
			le.PutUint32(b[4:], 1)
			le.PutUint64(b[16:], p.offset+madeBase)
		}
		le.PutUint64(b[24:], p.offset)
		le.PutUint64(b[32:], p.size)
		file = append(file, b[:]...)
	}
	return file
}

// A frameMaker writes .eh_frame. Its bytes lie at addr.
type frameMaker struct {
	addr uint64
	data []byte
	cie  int
}

func newFrameMaker() *frameMaker { return &frameMaker{addr: madeAfter} }

// record writes a record of a body.
func (m *frameMaker) record(body []byte) {
	for len(body)%4 != 0 {
		body = append(body, 0) // DW_CFA_nop
	}
	m.data = binary.LittleEndian.AppendUint32(m.data, uint32(len(body)))
	m.data = append(m.data, body...)
}

// common writes a CIE whose descriptions' addresses have an encoding.
func (m *frameMaker) common(encoding byte) {
	m.cie = len(m.data)
	m.record([]byte{0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, encoding, 0x0c, 7, 8, 0x90, 1})
}

// describe writes an FDE.
func (m *frameMaker) describe(encoding byte, start, size uint64, instructions ...byte) {
	body := binary.LittleEndian.AppendUint32(nil, uint32(len(m.data)+4-m.cie))
	place := m.addr + uint64(len(m.data)+4+len(body))
	switch encoding & 0x70 {
	case 0x10:
		start -= place
	case 0x20:
		start -= madeText
	case 0x50:
		body = append(body, make([]byte, -place&7)...)
	}
	body = appendEncoded(body, encoding, start)
	body = appendEncoded(body, encoding&0x0f, size)
	body = append(body, 0) // no augmentation data
	m.record(append(body, instructions...))
}

func appendEncoded(b []byte, encoding byte, v uint64) []byte {
	le := binary.LittleEndian
	switch encoding & 0x0f {
	case 0x01:
		return binary.AppendUvarint(b, v)
	case 0x09:
		for {
			c := byte(v & 0x7f)
			v = uint64(int64(v) >> 7)
			if v == 0 && c&0x40 == 0 || v == 1<<64-1 && c&0x40 != 0 {
				return append(b, c)
			}
			b = append(b, c|0x80)
		}
	case 0x02, 0x0a:
		return le.AppendUint16(b, uint16(v))
	case 0x03, 0x0b:
		return le.AppendUint32(b, uint32(v))
	}
	return le.AppendUint64(b, v)
}

// compileBytes makes the table of a file in memory.
func compileBytes(data []byte) (*unwind.Table, error) {
	file, err := elf.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	return unwind.Compile(file, unwind.Limits{})
}

// TestPointerEncodings describes code with its address in each encoding.
func TestPointerEncodings(t *testing.T) {
	for _, encoding := range []byte{
		0x00, 0x01, 0x02, 0x03, 0x04, 0x09, 0x0a, 0x0b, 0x0c, // absolute
		0x10, 0x11, 0x19, 0x1a, 0x1b, 0x14, 0x1c, // from the place
		0x20, 0x23, 0x2b, 0x50, // from .text; aligned
	} {
		m := newFrameMaker()
		m.common(encoding)
		m.describe(encoding, madeText+0x30, 0x20, 0x44, 0x0e, 16)
		table, err := compileBytes(makeELF(62, false, madeSection{".eh_frame", m.data}))
		if err != nil {
			t.Errorf("encoding %#x: %v", encoding, err)
			continue
		}
		want := []unwind.Row{{PC: 0, CFA: 1, Kind: unwind.KindSP}, {PC: 4, CFA: 2, Kind: unwind.KindSP}, {PC: 0x20, Kind: unwind.KindNone}}
		if table.Base != madeText+0x30 || len(table.Rows) != len(want) {
			t.Errorf("encoding %#x: base %#x, rows %v", encoding, table.Base, table.Rows)
			continue
		}
		for i, row := range table.Rows {
			if row != want[i] {
				t.Errorf("encoding %#x: row %d is %v, want %v", encoding, i, row, want[i])
			}
		}
	}
}

// TestContradictions describes code twice, not at all, and where there is none.
func TestContradictions(t *testing.T) {
	m := newFrameMaker()
	m.common(0x1b)
	words := func(n byte) []byte { return []byte{0x0e, 8 * n} }
	m.describe(0x1b, madeText+0x10, 0x40, words(2)...) // cut short by the next
	m.describe(0x1b, madeText+0x20, 0x10, words(3)...)
	m.describe(0x1b, madeText+0x20, 0x18, words(4)...) // of what is described already
	m.describe(0x1b, madeText+0x60, 0, words(5)...)
	m.describe(0x1b, 0x10, 0x10, words(6)...)                                     // no code of this file
	m.describe(0x1b, madeText+0x80, 0x10, 0x0f, 100)                              // ends within an instruction
	m.describe(0x1b, madeText+0xa0, 0x10, 0x3f)                                   // no instruction
	m.describe(0x1b, madeText+0xc0, 0x10, 0x0b)                                   // restores what was not remembered
	m.describe(0x1b, madeText+0xe0, 0x10, append(words(7), 0x41, 0x07, 16)...)    // becomes a root
	m.describe(0x1b, madeText+0x100, 0x10, append(words(7), 0x04, 0, 0, 0, 1)...) // goes past its end
	table, err := compileBytes(makeELF(62, false, madeSection{".eh_frame", m.data}))
	if err != nil {
		t.Fatal(err)
	}
	checkTable(t, table)
	sp, none := unwind.KindSP, unwind.KindNone
	for _, want := range []struct {
		at   uint64
		kind unwind.Kind
		cfa  int16
	}{
		{0x0f, none, 0}, {0x10, sp, 2}, {0x1f, sp, 2}, {0x20, sp, 3}, {0x2f, sp, 3}, {0x30, none, 0}, {0x60, none, 0},
		{0x80, none, 0}, {0xa0, none, 0}, {0xc0, none, 0}, {0xe0, sp, 7}, {0xe1, unwind.KindEnd, 0}, {0xef, unwind.KindEnd, 0},
		{0xf0, none, 0}, {0x100, sp, 7}, {0x10f, sp, 7}, {0x110, none, 0},
	} {
		if got := table.Lookup(madeText + want.at); got.Kind != want.kind || got.CFA != want.cfa {
			t.Errorf("%#x is %v, want kind %d, cfa %d", want.at, got, want.kind, want.cfa)
		}
	}
	want := unwind.Statistics{Functions: 4, Overlapping: 2, Empty: 1, Outside: 1, Malformed: 3}
	if table.Statistics != want {
		t.Errorf("counted %+v, want %+v", table.Statistics, want)
	}
}

// checkTable checks what is promised of every table.
func checkTable(t testing.TB, table *unwind.Table) {
	t.Helper()
	rows := table.Rows
	if len(rows) < 2 || rows[0].PC != 0 || rows[0].Kind == unwind.KindNone || rows[len(rows)-1].Kind != unwind.KindNone {
		t.Fatalf("the table of %d rows does not begin and end as it should", len(rows))
	}
	for i, row := range rows {
		if row.Kind&^unwind.InLinkRegister > unwind.KindWide {
			t.Fatalf("row %d is %v", i, row)
		}
		if row.Kind&^unwind.InLinkRegister == unwind.KindWide && int(uint16(row.CFA)) >= len(table.Wide) {
			t.Fatalf("row %d points to wide rule %d of %d", i, uint16(row.CFA), len(table.Wide))
		}
		if i == 0 {
			continue
		}
		if row.PC <= rows[i-1].PC {
			t.Fatalf("row %d begins at %#x, the one before it at %#x", i, row.PC, rows[i-1].PC)
		}
		if same := (unwind.Row{PC: rows[i-1].PC, CFA: row.CFA, FP: row.FP, Kind: row.Kind}); same == rows[i-1] {
			t.Fatalf("rows %d and %d say the same: %v", i-1, i, row)
		}
	}
}
