package binary

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrNotELF is what Open wraps when the file is no ELF executable or shared
// object of a class and byte order that this package reads.
var ErrNotELF = errors.New("not an ELF executable or shared object")

// ErrMalformed is what errors wrap when a file contradicts itself or exceeds a
// limit of this package.
var ErrMalformed = errors.New("malformed ELF file")

// A File is an ELF file whose headers have been read. It holds no table larger
// than its headers; Symbols and GoTable read those. It is safe for use by
// several goroutines if its reader is.
type File struct {
	r        io.ReaderAt
	size     uint64
	order    binary.ByteOrder
	wide     bool // ELFCLASS64
	machine  uint16
	programs []program
	sections []section // nil where the file has none or they are unusable
	buildIDs buildIDs
	scratch  func() (Scratch, error) // where large decompressed sections go; nil for memory
}

// A program is one row of the program header table.
type program struct {
	kind, flags  uint32
	offset       uint64
	vaddr        uint64
	filesz, memz uint64
}

// Open reads the headers of an ELF file of size bytes. It accepts executables
// and shared objects (ET_EXEC and ET_DYN) of 32 and 64 bits in either byte
// order. It keeps r, and reads from it as long as the File, or a table got from
// it, is in use; it never closes it.
//
// The error wraps ErrNotELF or ErrMalformed, or what r answered. A section
// header table that is missing or damaged is no error: such a file still has an
// identity and segments, but no symbols.
func Open(r io.ReaderAt, size int64) (*File, error) {
	if size < 0 {
		return nil, fmt.Errorf("opening an ELF file of size %d: %w", size, ErrNotELF)
	}
	f := &File{r: r, size: uint64(size)}
	header, err := f.readHeader()
	if err != nil {
		return nil, fmt.Errorf("reading the ELF header: %w", err)
	}
	if err := f.readPrograms(header); err != nil {
		return nil, fmt.Errorf("reading the program headers: %w", err)
	}
	f.readSections(header)
	if f.buildIDs, err = f.readBuildIDs(); err != nil {
		return nil, fmt.Errorf("reading the build ID: %w", err)
	}
	return f, nil
}

// Through returns the same file, read through another reader of its bytes.
func (f *File) Through(r io.ReaderAt) *File {
	other := *f
	other.r = r
	return &other
}

// A header holds the fields of the ELF header that locate the other headers.
type header struct {
	programOffset, sectionOffset uint64
	programCount, programSize    uint16
	sectionCount, sectionSize    uint16
	sectionNames                 uint16
}

func (f *File) readHeader() (header, error) {
	return f.readHeaderOf(typeExecutable, typeSharedObject)
}

func (f *File) readHeaderOf(kinds ...uint16) (header, error) {
	var ident [64]byte
	n, err := f.r.ReadAt(ident[:min(uint64(len(ident)), f.size)], 0)
	if n < 52 {
		if err != nil && !errors.Is(err, io.EOF) {
			return header{}, err
		}
		return header{}, ErrNotELF
	}
	if string(ident[:4]) != "\x7fELF" {
		return header{}, ErrNotELF
	}
	switch ident[dataOffset] {
	case dataLittleEndian:
		f.order = binary.LittleEndian
	case dataBigEndian:
		f.order = binary.BigEndian
	default:
		return header{}, fmt.Errorf("byte order %d: %w", ident[dataOffset], ErrNotELF)
	}
	switch ident[classOffset] {
	case class32:
	case class64:
		f.wide = true
		if n < 64 {
			return header{}, ErrNotELF
		}
	default:
		return header{}, fmt.Errorf("class %d: %w", ident[classOffset], ErrNotELF)
	}
	if kind := f.order.Uint16(ident[16:]); !slices.Contains(kinds, kind) {
		return header{}, fmt.Errorf("file type %d: %w", kind, ErrNotELF)
	}
	f.machine = f.order.Uint16(ident[18:])
	var h header
	rest := ident[40:]
	if f.wide {
		h.programOffset, h.sectionOffset = f.order.Uint64(ident[32:]), f.order.Uint64(ident[40:])
		rest = ident[52:]
	} else {
		h.programOffset, h.sectionOffset = uint64(f.order.Uint32(ident[28:])), uint64(f.order.Uint32(ident[32:]))
	}
	h.programSize, h.programCount = f.order.Uint16(rest[2:]), f.order.Uint16(rest[4:])
	h.sectionSize, h.sectionCount = f.order.Uint16(rest[6:]), f.order.Uint16(rest[8:])
	h.sectionNames = f.order.Uint16(rest[10:])
	return h, nil
}

func (f *File) readPrograms(h header) error {
	row := uint64(32)
	if f.wide {
		row = 56
	}
	if h.programCount == 0 || h.programCount > maxProgramHeaders || uint64(h.programSize) != row {
		return fmt.Errorf("%d rows of %d bytes: %w", h.programCount, h.programSize, ErrMalformed)
	}
	data, err := f.read(h.programOffset, uint64(h.programCount)*row)
	if err != nil {
		return err
	}
	f.programs = make([]program, h.programCount)
	for i := range f.programs {
		b := data[uint64(i)*row:]
		p := program{kind: f.order.Uint32(b)}
		if f.wide {
			p.flags = f.order.Uint32(b[4:])
			p.offset, p.vaddr = f.order.Uint64(b[8:]), f.order.Uint64(b[16:])
			p.filesz, p.memz = f.order.Uint64(b[32:]), f.order.Uint64(b[40:])
		} else {
			p.offset, p.vaddr = uint64(f.order.Uint32(b[4:])), uint64(f.order.Uint32(b[8:]))
			p.filesz, p.memz = uint64(f.order.Uint32(b[16:])), uint64(f.order.Uint32(b[20:]))
			p.flags = f.order.Uint32(b[24:])
		}
		f.programs[i] = p
	}
	return nil
}

// read returns exactly n bytes of the file at off. The memory it allocates is
// bounded by the file's size; callers bound n further.
func (f *File) read(off, n uint64) ([]byte, error) {
	if off > f.size || n > f.size-off {
		return nil, fmt.Errorf("%d bytes at offset %#x of a file of %d: %w", n, off, f.size, ErrMalformed)
	}
	data := make([]byte, n)
	return data, f.readInto(data, off)
}

// readInto fills data with the bytes of the file at off.
func (f *File) readInto(data []byte, off uint64) error {
	if off > f.size || uint64(len(data)) > f.size-off {
		return fmt.Errorf("%d bytes at offset %#x of a file of %d: %w", len(data), off, f.size, ErrMalformed)
	}
	n, err := f.r.ReadAt(data, int64(off))
	if n == len(data) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at offset %#x: %w", len(data), off, err)
}

// pointer reads an address-sized value at the beginning of b.
func (f *File) pointer(b []byte) uint64 {
	if f.wide {
		return f.order.Uint64(b)
	}
	return uint64(f.order.Uint32(b))
}
