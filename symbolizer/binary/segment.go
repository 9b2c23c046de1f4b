package binary

import "iter"

// A Segment is an executable PT_LOAD row of the program header table: code that
// the kernel maps. All fields are bytes or byte addresses as the file has them.
type Segment struct {
	Offset uint64 // p_offset, where the segment begins in the file
	Vaddr  uint64 // p_vaddr, the ELF virtual address of its first byte
	Filesz uint64 // p_filesz, how many of its bytes the file has
	Memsz  uint64 // p.memz, how many bytes it takes in memory
}

// Address turns an offset in the file into the ELF virtual address of the same
// byte. The offset must lie in the segment.
func (s Segment) Address(fileOffset uint64) uint64 { return fileOffset - s.Offset + s.Vaddr }

// Segment returns the executable segment that has the byte at fileOffset, and
// false if no executable segment has it: such a byte is not code, whatever is
// mapped around it, because mappings are whole pages and segments are not.
func (f *File) Segment(fileOffset uint64) (Segment, bool) {
	for _, p := range f.programs {
		if p.executable() && fileOffset >= p.offset && fileOffset-p.offset < p.filesz {
			return p.segment(), true
		}
	}
	return Segment{}, false
}

// Executable returns the executable segment that has the ELF virtual address
// addr, and false if none has it.
func (f *File) Executable(addr uint64) (Segment, bool) {
	for _, p := range f.programs {
		if p.executable() && addr >= p.vaddr && addr-p.vaddr < p.filesz {
			return p.segment(), true
		}
	}
	return Segment{}, false
}

func (p program) executable() bool {
	return p.kind == segmentLoad && p.flags&segmentFlagExecute != 0
}

func (p program) segment() Segment {
	return Segment{Offset: p.offset, Vaddr: p.vaddr, Filesz: p.filesz, Memsz: p.memz}
}

// Writable reports whether a loader makes the size bytes at the ELF virtual address
// addr memory that the program may write and not execute: variables.
func (f *File) Writable(addr, size uint64) bool {
	for _, p := range f.programs {
		if p.kind == segmentLoad && p.flags&(segmentFlagWrite|segmentFlagExecute) == segmentFlagWrite &&
			addr >= p.vaddr && addr-p.vaddr < p.memz && size <= p.memz-(addr-p.vaddr) {
			return true
		}
	}
	return false
}

// loaded fills data with the bytes that a loader would put at the ELF virtual
// address addr, before relocation.
func (f *File) loaded(data []byte, addr uint64) error {
	for _, p := range f.programs {
		if p.kind == segmentLoad && addr >= p.vaddr && addr-p.vaddr < p.filesz &&
			uint64(len(data)) <= p.filesz-(addr-p.vaddr) {
			return f.readInto(data, p.offset+(addr-p.vaddr))
		}
	}
	return ErrMalformed
}

// A CodeSpan is code that a file says it has: addresses from Low up to High.
type CodeSpan struct{ Low, High uint64 }

// Code yields where the file's code is: its executable sections, as far as they lie
// in executable segments, or those segments where it has no sections. What lies in
// a segment but in no section, as the headers do, is not code.
func (f *File) Code() iter.Seq[CodeSpan] {
	return func(yield func(CodeSpan) bool) {
		found := false
		for _, s := range f.sections {
			if s.flags&(sectionFlagAlloc|sectionFlagExecute) != sectionFlagAlloc|sectionFlagExecute {
				continue
			}
			segment, ok := f.Executable(s.addr)
			if !ok || s.size == 0 {
				continue
			}
			found = true
			if !yield(CodeSpan{s.addr, s.addr + min(s.size, segment.Filesz-(s.addr-segment.Vaddr))}) {
				return
			}
		}
		for _, p := range f.programs {
			if !found && p.executable() && p.filesz > 0 && !yield(CodeSpan{p.vaddr, p.vaddr + min(p.filesz, ^p.vaddr)}) {
				return
			}
		}
	}
}
