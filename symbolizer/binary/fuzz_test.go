package binary_test

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"testing"
)

// FuzzOpen reads arbitrary bytes as an ELF file.
func FuzzOpen(f *testing.F) {
	for _, data := range [][]byte{small(f, "-O1", "-s", "-nostdlib", "-shared", "-fPIC"), small(f, "-O1", "-nostdlib", "-shared", "-fPIC")} {
		f.Add(data, uint64(0x1000))
	}
	f.Add([]byte("\x7fELF\x02\x01\x01"), uint64(0))
	f.Fuzz(func(_ *testing.T, data []byte, addr uint64) { exercise(data, addr) })
}

// small compiles testdata/functions.c and returns the file, nothing where there
// is no compiler.
func small(f *testing.F, flags ...string) []byte {
	data, err := os.ReadFile(compileC(f, flags...))
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// FuzzGoTable overwrites parts of a Go program's tables. The program is too
// large to be a seed itself, so the input is a list of changes: where, relative
// to the section, and the bytes to write there.
func FuzzGoTable(f *testing.F) {
	path := buildGo(f, "local", goVariant{})
	original, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	reference, err := elf.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	defer reference.Close()
	var targets []*elf.Section
	for _, name := range []string{".gopclntab", ".go.module", ".symtab", ".strtab"} {
		if s := reference.Section(name); s != nil {
			targets = append(targets, s)
		}
	}
	text := reference.Section(".text")
	f.Add(byte(0), uint32(0), []byte{0xf2}, uint32(0))
	f.Add(byte(0), uint32(8), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint32(100))
	f.Add(byte(1), uint32(40*8), []byte{1, 2, 3}, uint32(5000))
	f.Add(byte(2), uint32(24), []byte{1, 2, 3}, uint32(5000))
	f.Fuzz(func(t *testing.T, which byte, at uint32, change []byte, addr uint32) {
		section := targets[int(which)%len(targets)]
		data := slices.Clone(original)
		start := section.Offset + uint64(at)%section.Size
		// The same change over and over reaches records and line tables, whose
		// places the fuzzer cannot know.
		for i := range uint64(1) + uint64(at%7)*16 {
			from := min(start+i*uint64(binary.LittleEndian.Uint16([]byte{byte(at), byte(at >> 8)})), section.Offset+section.Size)
			copy(data[from:section.Offset+section.Size], change)
		}
		exercise(data, text.Addr+uint64(addr)%text.Size)
	})
}
