package binary_test

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"testing"

	narrows "github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A sparse is a file that goes on with zeros for as long as it says.
type sparse struct {
	data []byte
	size int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	clear(p)
	if off < int64(len(s.data)) {
		copy(p, s.data[off:])
	}
	return len(p), nil
}

// TestLies checks that tables which claim enormous sizes, in a file that is as
// large as they need, are refused before memory is taken for them.
func TestLies(t *testing.T) {
	const size = 1 << 50
	path := compileC(t, "-O1")
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	goPath := buildGo(t, "local", goVariant{})
	goOriginal, err := os.ReadFile(goPath)
	if err != nil {
		t.Fatal(err)
	}
	put := binary.LittleEndian.PutUint64
	for name, test := range map[string]struct {
		data   []byte
		change func(data []byte, f *elf.File)
		path   string
		ask    func(f *narrows.File) error
	}{
		"symbols": {data: original, path: path,
			change: func(data []byte, f *elf.File) { put(data[sectionHeader(data, f, ".symtab")+32:], 1<<45) },
			ask:    func(f *narrows.File) error { _, err := f.Symbols(); return err }},
		"Go functions": {data: goOriginal, path: goPath,
			change: func(data []byte, f *elf.File) {
				put(data[sectionHeader(data, f, ".gopclntab")+32:], 1<<45)
				put(data[f.Section(".gopclntab").Offset+8:], 1<<40)
			},
			ask: func(f *narrows.File) error { _, err := f.GoTable(); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			reference, err := elf.Open(test.path)
			if err != nil {
				t.Fatal(err)
			}
			defer reference.Close()
			data := slices.Clone(test.data)
			test.change(data, reference)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f, err := narrows.Open(sparse{data, size}, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.ask(f); !errors.Is(err, narrows.ErrMalformed) {
				t.Errorf("%v, want ErrMalformed", err)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

// sectionHeader returns the offset of a section's row in a 64-bit file.
func sectionHeader(data []byte, f *elf.File, name string) uint64 {
	index := slices.IndexFunc(f.Sections, func(s *elf.Section) bool { return s.Name == name })
	return binary.LittleEndian.Uint64(data[40:]) + uint64(index)*64
}

// TestLostReader checks that the reader's errors come out, and no names.
func TestLostReader(t *testing.T) {
	data, err := os.ReadFile(compileC(t, "-O1"))
	if err != nil {
		t.Fatal(err)
	}
	r := &failing{sparse: sparse{data, int64(len(data))}}
	f, err := narrows.Open(r, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var symbol narrows.Symbol
	for addr := uint64(0x1000); symbol == (narrows.Symbol{}); addr++ {
		symbol, _ = symbols.Lookup(addr)
	}
	r.lost = errors.New("the disk is gone")
	if name, err := symbols.Name(symbol); !errors.Is(err, r.lost) {
		t.Errorf("Name = %q, %v; want the reader's error", name, err)
	}
	if _, err := f.Symbols(); !errors.Is(err, r.lost) {
		t.Errorf("Symbols: %v, want the reader's error", err)
	}
	if _, err := narrows.Open(r, int64(len(data))); !errors.Is(err, r.lost) {
		t.Errorf("Open: %v, want the reader's error", err)
	}
}

type failing struct {
	sparse
	lost error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.lost != nil {
		return 0, f.lost
	}
	return f.sparse.ReadAt(p, off)
}
