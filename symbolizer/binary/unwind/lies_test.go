package unwind_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// A sparse file goes on with zeros for as long as it says.
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

// TestLies checks that files which claim enormous sizes, and are as large as that
// needs, cost neither memory nor for ever.
func TestLies(t *testing.T) {
	const size = 1 << 50
	frames := func(change func(m *frameMaker)) []byte {
		m := newFrameMaker()
		m.common(0x1b)
		m.describe(0x1b, madeText, 0x40, 0x41, 0x0e, 16)
		change(m)
		return m.data
	}
	for name, data := range map[string][]byte{
		"a record of 2 GB": makeELF(62, false, madeSection{".eh_frame", frames(func(m *frameMaker) {
			m.data = append(m.data, 0, 0, 0, 0x7f)
		})}),
		"a wide record": makeELF(62, false, madeSection{".eh_frame", frames(func(m *frameMaker) {
			m.data = append(m.data, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		})}),
		"code without an end": makeELF(62, false, madeSection{".eh_frame", frames(func(m *frameMaker) {
			for range 2000 {
				m.describe(0x1b, madeText, 1<<31-1, bytes.Repeat([]byte{0x41, 0x0e, 16, 0x41, 0x0e, 24}, 100)...)
			}
		})}),
		"a CIE as its own": makeELF(62, false, madeSection{".eh_frame", []byte{8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0}}),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			file, err := elf.Open(sparse{data, size}, size)
			if err != nil {
				t.Fatal(err)
			}
			if table, err := unwind.Compile(file, unwind.Limits{}); err == nil {
				checkTable(t, table)
			} else if !errors.Is(err, elf.ErrMalformed) && !errors.Is(err, unwind.ErrNoTable) {
				t.Errorf("%v, want ErrMalformed or ErrNoTable", err)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

// TestSectionOfSparseFile has an .eh_frame of most of a huge sparse file: zeros,
// each word of which is a record of nothing.
func TestSectionOfSparseFile(t *testing.T) {
	for _, size := range []uint64{100 << 20, 1 << 40} {
		data := makeELF(62, false, madeSection{".eh_frame", make([]byte, 48)})
		length := binary.LittleEndian.AppendUint64(nil, 48)
		data = bytes.ReplaceAll(data, length, binary.LittleEndian.AppendUint64(nil, size))
		file, err := elf.Open(sparse{data, 1 << 50}, 1<<50)
		if err != nil {
			t.Fatal(err)
		}
		if section, err := file.Contents(".eh_frame", 0); err != nil || section.Size != size {
			t.Fatalf("a section of %d bytes, %v; want %d", section.Size, err, size)
		}
		if _, err := unwind.Compile(file, unwind.Limits{}); !errors.Is(err, elf.ErrMalformed) {
			t.Errorf("%v, want ErrMalformed", err)
		}
	}
}

// A failing reader loses its file half-way.
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

// TestLostReader checks that the reader's errors come out.
func TestLostReader(t *testing.T) {
	data := makeELF(62, false, madeSection{".eh_frame", seedFrames(madeAfter, 0x1b)})
	r := &failing{sparse: sparse{data, int64(len(data))}}
	file, err := elf.Open(r, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r.lost = errors.New("the disk is gone")
	if _, err := unwind.Compile(file, unwind.Limits{}); !errors.Is(err, r.lost) {
		t.Errorf("%v, want the reader's error", err)
	}
}
