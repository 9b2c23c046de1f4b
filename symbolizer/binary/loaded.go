package binary

import (
	"encoding/binary"
	"io"
)

// Loaded returns what a loader puts at the ELF virtual address addr, before
// relocation, up to the end of that segment, and false if no segment has it.
func (f *File) Loaded(addr uint64) (Contents, bool) {
	r, ok := f.region(addr)
	if !ok {
		return Contents{}, false
	}
	return Contents{Addr: addr, Size: r.size, ReaderAt: io.NewSectionReader(f.r, int64(r.offset), int64(r.size))}, true
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
