package binary

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
)

// A Section is a part of the file that a row of its section header table names,
// or that a program header points to. It reads as if it was not compressed.
type Section struct {
	Addr uint64 // ELF virtual address of its first byte; 0 if it is not loaded
	Size uint64 // bytes
	io.ReaderAt
}

// Section returns the first section of a name that has bytes in the file, and
// false if there is none. One that is compressed (SHF_COMPRESSED, with zlib) is
// inflated into memory, if it takes no more than limit bytes there.
//
// The error wraps ErrMalformed, or is what the reader answered.
func (f *File) Section(name string, limit uint64) (Section, bool, error) {
	s, ok := f.section(name)
	if !ok {
		return Section{}, false, nil
	}
	raw := io.NewSectionReader(f.r, int64(s.offset), int64(s.size))
	if s.flags&sectionFlagCompressed == 0 {
		return Section{Addr: s.addr, Size: s.size, ReaderAt: raw}, true, nil
	}
	data, err := f.inflate(raw, limit)
	if err != nil {
		return Section{}, false, fmt.Errorf("inflating section %s: %w", name, err)
	}
	return Section{Addr: s.addr, Size: uint64(len(data)), ReaderAt: bytes.NewReader(data)}, true, nil
}

// inflate reads a section behind its Elf64_Chdr or Elf32_Chdr (gABI, "Section
// Compression").
func (f *File) inflate(r *io.SectionReader, limit uint64) ([]byte, error) {
	header := make([]byte, 12)
	if f.wide {
		header = make([]byte, 24)
	}
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("reading its header: %w", err)
	}
	kind, size := f.order.Uint32(header), uint64(f.order.Uint32(header[4:]))
	if f.wide {
		size = f.order.Uint64(header[8:])
	}
	if kind != compressedZlib {
		return nil, fmt.Errorf("method %d: %w", kind, ErrMalformed)
	}
	if size > limit {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", size, limit, ErrMalformed)
	}
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	defer z.Close()
	// What the file promises is not allocated before it comes.
	var data bytes.Buffer
	if n, err := io.Copy(&data, io.LimitReader(z, int64(size))); err != nil || uint64(n) != size {
		return nil, fmt.Errorf("%d of %d bytes: %w", n, size, ErrMalformed)
	}
	return data.Bytes(), nil
}

// Loaded returns what a loader puts at the ELF virtual address addr, before
// relocation, up to the end of that segment, and false if no segment has it.
func (f *File) Loaded(addr uint64) (Section, bool) {
	r, ok := f.region(addr)
	if !ok {
		return Section{}, false
	}
	return Section{Addr: addr, Size: r.size, ReaderAt: io.NewSectionReader(f.r, int64(r.offset), int64(r.size))}, true
}

// FrameHeader returns the ELF virtual address of .eh_frame_hdr as the program
// headers have it (PT_GNU_EH_FRAME), which a file without section headers still
// has, and false if there is none.
func (f *File) FrameHeader() (addr uint64, ok bool) {
	for _, p := range f.programs {
		if p.kind == segmentFrameHeader {
			return p.vaddr, true
		}
	}
	return 0, false
}

// Executables returns the executable segments, in the order of the program
// header table.
func (f *File) Executables() []Segment {
	var segments []Segment
	for _, p := range f.programs {
		if p.executable() {
			segments = append(segments, p.segment())
		}
	}
	return segments
}

// Machine returns the file's e_machine: 62 is x86-64, 183 is arm64.
func (f *File) Machine() uint16 { return f.machine }

// Wide reports whether the file is of class ELFCLASS64.
func (f *File) Wide() bool { return f.wide }

// ByteOrder returns the byte order of the file's numbers.
func (f *File) ByteOrder() binary.ByteOrder { return f.order }

// Needs reports whether the file says that it needs another one to be loaded
// with it (DT_NEEDED), as all dynamically linked programs and most libraries do.
// The error is what the reader answered.
func (f *File) Needs() (bool, error) {
	for _, p := range f.programs {
		if p.kind != segmentDynamic || p.offset > f.size {
			continue
		}
		row := uint64(8)
		if f.wide {
			row = 16
		}
		data, err := f.read(p.offset, min(p.filesz, f.size-p.offset, maxDynamic*row))
		if err != nil {
			return false, err
		}
		for ; uint64(len(data)) >= row; data = data[row:] {
			if tag := f.pointer(data); tag == dynamicNeeded {
				return true, nil
			} else if tag == dynamicNull {
				break
			}
		}
	}
	return false, nil
}
