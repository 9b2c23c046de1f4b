package unwind_test

import (
	"slices"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// TestARM64Rules describes code as compilers do for arm64.
func TestARM64Rules(t *testing.T) {
	const fp, lr = 29, 30
	m := newFrameMaker()
	m.cie = len(m.data)
	m.record([]byte{0, 0, 0, 0, 1, 'z', 'R', 0, 4, 0x78, lr, 1, 0x1b, 0x0c, 31, 0})
	offset := func(register, words byte) []byte { return []byte{0x80 | register, words} }
	describe := func(at uint64, parts ...[]byte) {
		m.describe(0x1b, madeText+at, 0x20, slices.Concat(parts...)...)
	}
	pair := slices.Concat([]byte{0x41, 0x0e, 32}, offset(fp, 4), offset(lr, 3))
	describe(0x00, []byte{0x2d}, pair, []byte{0x41, 0x0d, fp, 0x41, 0x0c, 31, 0, 0xc0 | fp, 0xc0 | lr, 0x2d})
	describe(0x20, []byte{0x41, 0x0e, 16}, offset(lr, 2))
	describe(0x40, []byte{0x41, 0x0e, 0x80, 0x10}, []byte{0x05, fp, 0x80, 2, 0x05, lr, 0xff, 1})
	describe(0x60, []byte{0x07, lr})
	table, err := compileBytes(makeELF(183, false, madeSection{".eh_frame", m.data}))
	if err != nil {
		t.Fatal(err)
	}
	checkTable(t, table)
	sp, linked := unwind.KindSP, unwind.InLinkRegister
	for _, want := range []struct {
		at     uint64
		answer answer
	}{
		{0x00, row(sp|linked, 0, 0)},
		{0x04, row(sp, 4, -4)},
		{0x08, row(unwind.KindFP, 4, -4)},
		{0x0c, row(sp|linked, 0, 0)},
		{0x20, row(sp|linked, 0, 0)},
		{0x24, wide(unwind.Wide{CFA: 16, RA: -16, CFARegister: 31})},
		{0x44, wide(unwind.Wide{CFA: 2048, FP: -2048, RA: -2040, CFARegister: 31, Flags: unwind.WideFPSaved})},
		{0x60, row(unwind.KindEnd, 0, 0)},
		{0x80, row(unwind.KindNone, 0, 0)},
	} {
		got := answer{row: table.Lookup(madeText + want.at)}
		got.row.PC = 0
		if got.row.Kind == unwind.KindWide {
			got.wide, got.row.CFA = table.Wide[uint16(got.row.CFA)], 0
		}
		if got != want.answer {
			t.Errorf("%#x is %+v, want %+v", want.at, got, want.answer)
		}
	}
}
