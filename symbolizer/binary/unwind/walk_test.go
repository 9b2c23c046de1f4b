package unwind_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// A written stack is made of words at addresses from 0x7000 on.
type written map[uint64]uint64

func (w written) snapshot() unwind.Snapshot {
	s := unwind.Snapshot{Address: 0x7000, Bytes: make([]byte, 0x1000)}
	for addr, v := range w {
		binary.LittleEndian.PutUint64(s.Bytes[addr-s.Address:], v)
	}
	return s
}

// TestWalk walks one or two frames by each kind of rule. The code at 0x1000 has
// the rule, that at 0x2000 is a root, at 0x3000 nothing is known, at 0x4000 no
// table is at hand.
func TestWalk(t *testing.T) {
	sp, fp := unwind.KindSP, unwind.KindFP
	linked := unwind.InLinkRegister
	other := make([]uint64, 17)
	other[10] = 0x7100
	for name, test := range map[string]struct {
		row     unwind.Row
		wide    unwind.Wide
		stack   written
		regs    unwind.Registers
		arch    unwind.Arch
		frames  []uint64
		end     unwind.End
		atPC    uint64 // 0: 0x1010
		atFrame uint64 // the frame pointer; 0: 0x7200
	}{
		"from SP":              {row: unwind.Row{Kind: sp, CFA: 2}, stack: written{0x7108: 0x2001}, frames: []uint64{0x2001}},
		"from FP":              {row: unwind.Row{Kind: fp, CFA: 2, FP: -2}, stack: written{0x7208: 0x2001}, frames: []uint64{0x2001}},
		"root":                 {row: unwind.Row{Kind: unwind.KindEnd}},
		"realigned":            {row: unwind.Row{Kind: unwind.KindFPDeref, CFA: -1, FP: 1}, stack: written{0x71f8: 0x7310, 0x7308: 0x2001}, frames: []uint64{0x2001}},
		"linkage before":       {row: unwind.Row{Kind: unwind.KindPLT, CFA: 1, FP: 11}, stack: written{0x7100: 0x2001}, frames: []uint64{0x2001}},
		"linkage behind":       {row: unwind.Row{Kind: unwind.KindPLT, CFA: 1, FP: 11}, stack: written{0x7108: 0x2001}, atPC: 0x101b, frames: []uint64{0x2001}},
		"unknown code":         {row: unwind.Row{Kind: unwind.KindNone}, stack: written{0x7200: 0x7300, 0x7208: 0x2001}, frames: []uint64{0x2001}},
		"unknown code at last": {row: unwind.Row{Kind: unwind.KindNone}, stack: written{0x7200: 0, 0x7208: 0x3001}, frames: []uint64{0x3001}},
		"zero return address":  {row: unwind.Row{Kind: sp, CFA: 1}},
		"bad return address":   {row: unwind.Row{Kind: sp, CFA: 1}, stack: written{0x7100: 1 << 60}, end: unwind.EndBadAddress},
		"nothing mapped":       {row: unwind.Row{Kind: sp, CFA: 1}, stack: written{0x7100: 0x9001}, frames: []uint64{0x9001}, end: unwind.EndNoMapping},
		"no table":             {row: unwind.Row{Kind: sp, CFA: 1}, stack: written{0x7100: 0x4001}, frames: []uint64{0x4001}, end: unwind.EndNoTable},
		"short":                {row: unwind.Row{Kind: sp, CFA: 2000}, end: unwind.EndShortSnapshot},
		"below":                {row: unwind.Row{Kind: sp, CFA: -100}, end: unwind.EndUnreadable},
		"odd frame pointer":    {row: unwind.Row{Kind: unwind.KindNone}, atFrame: 0x7204, end: unwind.EndBadFramePointer},
		"popped frame pointer": {row: unwind.Row{Kind: sp, CFA: 1, FP: -100}, stack: written{0x7100: 0x3001, 0x7200: 0, 0x7208: 0x2001}, frames: []uint64{0x3001, 0x2001}},
		"saved frame pointer":  {row: unwind.Row{Kind: sp, CFA: 3, FP: -2}, stack: written{0x7108: 0x7300, 0x7110: 0x3001, 0x7308: 0x2001}, frames: []uint64{0x3001, 0x2001}},
		"wide":                 {wide: unwind.Wide{CFA: 0x400, RA: -8, CFARegister: 7}, stack: written{0x74f8: 0x2001}, frames: []uint64{0x2001}},
		"wide, dereferenced":   {wide: unwind.Wide{CFA: 0x40, RA: -8, After: 8, CFARegister: 7, Flags: unwind.WideDeref}, stack: written{0x7140: 0x7300, 0x7300: 0x2001}, frames: []uint64{0x2001}},
		"wide, frame pointer":  {wide: unwind.Wide{CFA: 16, FP: -16, RA: -8, CFARegister: 7, Flags: unwind.WideFPSaved}, stack: written{0x7100: 0x7300, 0x7108: 0x3001, 0x7308: 0x2001}, frames: []uint64{0x3001, 0x2001}},
		"wide, at the pointer": {wide: unwind.Wide{CFA: 16, RA: -8, CFARegister: 7, Flags: unwind.WideFPAtFP}, stack: written{0x7200: 0x7300, 0x7108: 0x3001, 0x7308: 0x2001}, frames: []uint64{0x3001, 0x2001}},
		"wide, root":           {wide: unwind.Wide{Flags: unwind.WideEnd}},
		"wide, inexpressible":  {wide: unwind.Wide{Flags: unwind.WideInexpressible}, stack: written{0x7200: 0, 0x7208: 0x2001}, frames: []uint64{0x2001}},
		"wide, other register": {wide: unwind.Wide{CFA: 16, RA: -8, CFARegister: 10}, regs: unwind.Registers{Others: other}, stack: written{0x7108: 0x2001}, frames: []uint64{0x2001}},
		"wide, lost register":  {wide: unwind.Wide{CFA: 16, RA: -8, CFARegister: 10}, end: unwind.EndNoRegisters},
		"wide, caller's":       {wide: unwind.Wide{CFA: 16, RA: -8, CFARegister: 10}, regs: unwind.Registers{Others: other}, stack: written{0x7108: 0x1001}, frames: []uint64{0x1001}, end: unwind.EndNoRule},
		"signal":               {row: unwind.Row{Kind: unwind.KindSignal}, stack: written{0x7100 + 120: 0x7300, 0x7100 + 160: 0x7800, 0x7100 + 168: 0x2000}, frames: []uint64{0x2000}},
		"signal, unknown code": {row: unwind.Row{Kind: unwind.KindSignal}, stack: written{0x7100 + 120: 0x7300, 0x7100 + 160: 0x7800, 0x7100 + 168: 0x3000, 0x7308: 0x2001}, frames: []uint64{0x3000, 0x2001}},
		"arm64, leaf":          {arch: unwind.ARM64, row: unwind.Row{Kind: sp | linked}, regs: unwind.Registers{LR: 0x2001}, frames: []uint64{0x2001}},
		"arm64, saved":         {arch: unwind.ARM64, row: unwind.Row{Kind: sp, CFA: 4, FP: -4}, stack: written{0x7100: 0x7300, 0x7108: 0x2001}, frames: []uint64{0x2001}},
		"arm64, signed":        {arch: unwind.ARM64, row: unwind.Row{Kind: sp, CFA: 4, FP: -4}, stack: written{0x7108: 0x3a<<48 | 0x2001}, frames: []uint64{0x2001}},
		"arm64, leaf's caller": {arch: unwind.ARM64, row: unwind.Row{Kind: sp | linked}, regs: unwind.Registers{LR: 0x1001}, frames: []uint64{0x1001}, end: unwind.EndNoRule},
		"arm64, wide":          {arch: unwind.ARM64, wide: unwind.Wide{CFA: 2048, FP: -2056, RA: -2048, CFARegister: 31, Flags: unwind.WideFPSaved}, stack: written{0x70f8: 0, 0x7100: 0x2001}, frames: []uint64{0x2001}},
		"arm64, wide, leaf":    {arch: unwind.ARM64, wide: unwind.Wide{CFA: 2048, CFARegister: 31, Flags: unwind.WideInLinkRegister}, regs: unwind.Registers{LR: 0x2001}, frames: []uint64{0x2001}},
		"arm64, signal":        {arch: unwind.ARM64, row: unwind.Row{Kind: unwind.KindSignal}, stack: written{0x7100 + 544: 0x7300, 0x7100 + 552: 0x2009, 0x7100 + 560: 0x7800, 0x7100 + 568: 0x2000}, frames: []uint64{0x2000}},
	} {
		t.Run(name, func(t *testing.T) {
			table := &unwind.Table{Base: 0, Rows: []unwind.Row{test.row, {PC: 0x1000, Kind: unwind.KindNone}}, Wide: []unwind.Wide{test.wide}}
			if test.wide != (unwind.Wide{}) {
				table.Rows[0] = unwind.Row{Kind: unwind.KindWide}
			}
			root := &unwind.Table{Rows: []unwind.Row{{Kind: unwind.KindEnd}, {PC: 0x1000, Kind: unwind.KindNone}}}
			w := unwind.Walker{Arch: test.arch, Find: func(pc uint64) (*unwind.Table, uint64, unwind.End) {
				switch pc >> 12 {
				case 1:
					return table, 0x1000, unwind.EndComplete
				case 2:
					return root, 0x2000, unwind.EndComplete
				case 3:
					return nil, 0, unwind.EndComplete
				case 4:
					return nil, 0, unwind.EndNoTable
				}
				return nil, 0, unwind.EndNoMapping
			}}
			r := test.regs
			r.PC, r.SP, r.FP = 0x1010, 0x7100, 0x7200
			if test.atPC != 0 {
				r.PC = test.atPC
			}
			if test.atFrame != 0 {
				r.FP = test.atFrame
			}
			frames, end := w.Walk(nil, r, test.stack.snapshot())
			if want := append([]uint64{r.PC}, test.frames...); !slices.Equal(frames, want) || end != test.end {
				t.Errorf("%#x: %v, want %#x: %v", frames, end, want, test.end)
			}
		})
	}
}

// TestWalkBounds walks stacks that do not end, and ones that go up and down.
func TestWalkBounds(t *testing.T) {
	s := unwind.Snapshot{Address: 0x7000, Bytes: make([]byte, 1<<20)}
	for i := 0; i+16 <= len(s.Bytes); i += 16 {
		binary.LittleEndian.PutUint64(s.Bytes[i:], s.Address+uint64(i)+16)
		binary.LittleEndian.PutUint64(s.Bytes[i+8:], 0x3001)
	}
	w := unwind.Walker{Find: func(uint64) (*unwind.Table, uint64, unwind.End) { return nil, 0, unwind.EndComplete }}
	frames, end := w.Walk(nil, unwind.Registers{PC: 0x3000, SP: 0x7000, FP: 0x7000}, s)
	if len(frames) != unwind.MaxFrames || end != unwind.EndTooDeep {
		t.Errorf("%d frames, %v; want %d, too deep", len(frames), end, unwind.MaxFrames)
	}
	for i := 0; i+16 <= len(s.Bytes); i += 16 {
		binary.LittleEndian.PutUint64(s.Bytes[i:], s.Address+uint64(i^0x100))
	}
	frames, end = w.Walk(nil, unwind.Registers{PC: 0x3000, SP: 0x7000, FP: 0x7000}, s)
	if len(frames) > 40 || end != unwind.EndNotAscending {
		t.Errorf("%d frames, %v; want few, not ascending", len(frames), end)
	}
}
