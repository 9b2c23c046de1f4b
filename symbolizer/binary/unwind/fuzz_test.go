package unwind_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// seedFrames is a small .eh_frame.
func seedFrames(addr uint64, encoding byte) []byte {
	m := newFrameMaker()
	m.addr = addr
	m.common(encoding)
	m.describe(encoding, madeText, 0x40, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x48, 0x0c, 7, 8, 0xc6, 0x41, 0x0b)
	m.describe(encoding, madeText+0x40, 0x40, 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22)
	m.describe(encoding, madeText+0x80, 0x40, 0x02, 8, 0x0f, 3, 0x76, 0x78, 6, 0x10, 6, 2, 0x76, 0, 0x03, 1, 0, 0x07, 16)
	m.describe(encoding, madeText+0x100, 0x40, 0x0c, 10, 0, 0x2e, 16, 0x13, 0x7e, 0x09, 6, 9, 0x05, 6, 2, 0x11, 6, 0x7e, 0x2d)
	return append(m.data, 0, 0, 0, 0)
}

// compileHostile makes a table of what may be anything, and checks what is
// promised all the same.
func compileHostile(t *testing.T, data []byte) *unwind.Table {
	file, err := elf.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil
	}
	table, err := unwind.Compile(file, unwind.Limits{Rows: 1 << 16})
	if err != nil {
		if table != nil {
			t.Errorf("a table and an error: %v", err)
		}
		return nil
	}
	checkTable(t, table)
	if len(table.Rows) > 1<<16 {
		t.Errorf("%d rows", len(table.Rows))
	}
	for _, row := range table.Rows {
		table.Lookup(table.Base + uint64(row.PC))
	}
	return table
}

// FuzzFrames reads arbitrary bytes as .eh_frame, for both machines.
func FuzzFrames(f *testing.F) {
	for _, encoding := range []byte{0x1b, 0x00, 0x50} {
		f.Add(seedFrames(madeAfter, encoding), false)
		f.Add(seedFrames(madeAfter, encoding), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, arm bool) {
		compileHostile(t, makeELF(machine(arm), false, madeSection{".eh_frame", data}))
	})
}

func machine(arm bool) uint16 {
	if arm {
		return 183
	}
	return 62
}

// FuzzDebugFrame reads arbitrary bytes as .debug_frame.
func FuzzDebugFrame(f *testing.F) {
	le := binary.LittleEndian
	body := []byte{0xff, 0xff, 0xff, 0xff, 4, 0, 8, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1}
	data := append(le.AppendUint32(nil, uint32(len(body))), body...)
	body = le.AppendUint64(le.AppendUint64(make([]byte, 4), madeText), 0x40)
	body = append(body, 0x41, 0x0e, 16, 0x86, 2)
	data = append(append(data, le.AppendUint32(nil, uint32(len(body)))...), body...)
	f.Add(data, false)
	f.Add(data, true)
	f.Fuzz(func(t *testing.T, data []byte, arm bool) {
		compileHostile(t, makeELF(machine(arm), false, madeSection{".debug_frame", data}))
	})
}

// FuzzFrameHeader reads arbitrary bytes as .eh_frame_hdr of a file that has no
// section headers.
func FuzzFrameHeader(f *testing.F) {
	for encoding, value := range map[byte]uint64{0x1b: 12, 0x00: madeAfter + 16, 0x3b: 16} {
		header := appendEncoded([]byte{1, encoding, 0xff, 0xff}, encoding, value)
		header = append(header, make([]byte, 16-len(header))...)
		f.Add(header, seedFrames(madeAfter+16, 0x1b))
	}
	f.Fuzz(func(t *testing.T, header, frames []byte) {
		compileHostile(t, makeELF(62, true, madeSection{data: header}, madeSection{data: frames}))
	})
}

// FuzzCompile overwrites parts of real files, which are too large to be seeds
// themselves: where, and the bytes to write there, over and over at a distance.
func FuzzCompile(f *testing.F) {
	files := [][]byte{makeELF(62, false, madeSection{".eh_frame", seedFrames(madeAfter, 0x1b)})}
	for _, path := range []string{assemble(f), buildGo(f)} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, data)
	}
	f.Add(byte(0), uint32(0x600), uint16(1), []byte{0xff})
	f.Add(byte(1), uint32(0x1000), uint16(64), []byte{1, 2, 3})
	f.Add(byte(2), uint32(0x100000), uint16(44), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, which byte, at uint32, distance uint16, change []byte) {
		data := slices.Clone(files[int(which)%len(files)])
		for i := range 16 {
			from := (uint64(at) + uint64(i)*uint64(distance)) % uint64(len(data))
			copy(data[from:], change)
		}
		compileHostile(t, data)
	})
}

// FuzzWalk walks arbitrary stacks by arbitrary rows.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 2}, []byte{8, 0, 0, 0, 8, 0, 0, 0, 248, 255, 255, 255, 7, 2, 0, 0}, make([]byte, 64), uint64(0x1000), uint64(0x7000), uint64(0x7010), false)
	f.Add([]byte{0, 0, 0, 0, 2, 0, 254, 3, 8, 0, 0, 0, 0, 0, 0, 7}, []byte{}, []byte{0, 0x70, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0}, uint64(0x1000), uint64(0x7000), uint64(0x7000), false)
	f.Add([]byte{0, 0, 0, 0, 2, 0, 254, 0x82}, []byte{}, make([]byte, 1024), uint64(0x1000), uint64(0x7000), uint64(0x7000), true)
	f.Fuzz(func(t *testing.T, rows, wides, stack []byte, pc, sp, fp uint64, arm bool) {
		le := binary.LittleEndian
		table := &unwind.Table{Base: 0x1000}
		for ; len(rows) >= 8; rows = rows[8:] {
			table.Rows = append(table.Rows, unwind.Row{PC: uint32(len(table.Rows)) * uint32(rows[0]), CFA: int16(le.Uint16(rows[4:])), FP: int8(rows[6]), Kind: unwind.Kind(rows[7])})
		}
		for ; len(wides) >= 16; wides = wides[16:] {
			table.Wide = append(table.Wide, unwind.Wide{
				CFA: int32(le.Uint32(wides)), FP: int32(le.Uint32(wides[4:])), RA: int32(le.Uint32(wides[8:])),
				CFARegister: wides[12], Flags: unwind.WideFlags(wides[13]), After: int16(le.Uint16(wides[14:])),
			})
		}
		w := unwind.Walker{Find: func(pc uint64) (*unwind.Table, uint64, unwind.End) {
			if pc>>20 == 1 {
				return nil, 0, unwind.EndComplete
			}
			return table, pc &^ 0xfff, unwind.EndComplete
		}}
		if arm {
			w.Arch = unwind.ARM64
		}
		frames, end := w.Walk(nil, unwind.Registers{PC: pc, SP: sp, FP: fp, LR: fp, Others: []uint64{sp, fp, pc}}, unwind.Snapshot{Address: sp &^ 0xff, Bytes: stack})
		if len(frames) == 0 || len(frames) > unwind.MaxFrames || frames[0] != pc || end.String() == "" {
			t.Errorf("%d frames, %v", len(frames), end)
		}
	})
}
