package binary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// ErrNoSection is what Contents wraps when the file has no such section, or none
// with bytes in the file.
var ErrNoSection = errors.New("no such section")

// ErrTooLarge is what errors wrap when something that may be sound takes more
// memory than it was allowed.
var ErrTooLarge = errors.New("larger than the memory allowed for it")

// The header of a compressed section: gABI, "Section Compression". Before it was
// standardized, GNU tools named such sections .zdebug_* and began them with "ZLIB"
// and the size in big-endian order.
const (
	compressedHeader32 = 12
	compressedHeader64 = 24
	compressionZlib    = 1
	compressionZstd    = 2
	gnuCompressedMagic = "ZLIB"
	gnuCompressedSize  = 12

	// maxWindow bounds what a zstd stream may ask for to look back on.
	maxWindow = 32 << 20
)

// A Contents is the bytes of a section, decompressed.
type Contents struct {
	io.ReaderAt
	Size uint64
	Addr uint64 // ELF virtual address; 0 if it is not loaded
	// Held is how many bytes of memory the contents take: none where they are read
	// from the file.
	Held int
}

// A part is a section that is read from the file.
type part struct {
	*io.SectionReader
	file io.ReaderAt
}

// Peek is that of a Peeker. It answers nothing where the file is none.
func (p part) Peek(off int64) ([]byte, error) {
	file, ok := p.file.(Peeker)
	_, begin, size := p.Outer()
	if !ok || off < 0 || off >= size {
		return nil, nil
	}
	data, err := file.Peek(begin + off)
	return data[:min(int64(len(data)), size-off)], err
}

// A Scratch takes a decompressed section, from its first byte to its last, and gives it
// back piece by piece.
type Scratch interface {
	io.Writer
	io.ReaderAt
}

const (
	// scratchFrom is from how many bytes on a decompressed section goes to a Scratch,
	// maxScratch how many may.
	scratchFrom = 512 << 10
	maxScratch  = 512 << 20
)

// WithScratch returns the same file, whose larger compressed sections are decompressed
// to what create makes for each, and not into memory. Whoever gives create closes them.
func (f *File) WithScratch(create func() (Scratch, error)) *File {
	other := *f
	other.scratch = create
	return &other
}

// Contents returns the bytes of the first section of the name. One that is
// compressed is decompressed into memory, at most maxHeld bytes of it, whatever it
// says of its size, or to a Scratch; any other is read from the file when asked for.
//
// The error wraps ErrNoSection, ErrTooLarge, ErrMalformed, or is the reader's.
func (f *File) Contents(name string, maxHeld int) (Contents, error) {
	if s, ok := f.section(name); ok {
		if s.flags&sectionFlagCompressed == 0 {
			return Contents{ReaderAt: part{io.NewSectionReader(f.r, int64(s.offset), int64(s.size)), f.r}, Size: s.size, Addr: s.addr}, nil
		}
		return f.decompress(s, maxHeld)
	}
	if s, ok := f.section(gnuCompressedName(name)); ok {
		return f.decompressGNU(s, maxHeld)
	}
	return Contents{}, fmt.Errorf("section %s: %w", name, ErrNoSection)
}

// HasContents reports whether the file has the bytes of a section of the name.
func (f *File) HasContents(name string) bool {
	_, ok := f.section(name, gnuCompressedName(name))
	return ok
}

func gnuCompressedName(name string) string {
	if len(name) < 1 {
		return ""
	}
	return ".z" + name[1:]
}

func (f *File) decompress(s section, maxHeld int) (Contents, error) {
	header := make([]byte, compressedHeader32)
	if f.wide {
		header = make([]byte, compressedHeader64)
	}
	if s.size < uint64(len(header)) {
		return Contents{}, fmt.Errorf("section %s: %d bytes of a compressed section: %w", s.name, s.size, ErrMalformed)
	}
	if err := f.readInto(header, s.offset); err != nil {
		return Contents{}, fmt.Errorf("section %s: %w", s.name, err)
	}
	size := f.pointer(header[4:])
	if f.wide {
		size = f.order.Uint64(header[8:])
	}
	packed := io.NewSectionReader(f.r, int64(s.offset)+int64(len(header)), int64(s.size)-int64(len(header)))
	return f.inflate(s, f.order.Uint32(header), packed, size, maxHeld)
}

func (f *File) decompressGNU(s section, maxHeld int) (Contents, error) {
	var header [gnuCompressedSize]byte
	if s.size < uint64(len(header)) {
		return Contents{}, fmt.Errorf("section %s: %d bytes of a compressed section: %w", s.name, s.size, ErrMalformed)
	}
	if err := f.readInto(header[:], s.offset); err != nil {
		return Contents{}, fmt.Errorf("section %s: %w", s.name, err)
	}
	if string(header[:4]) != gnuCompressedMagic {
		return Contents{}, fmt.Errorf("section %s begins with %q: %w", s.name, header[:4], ErrMalformed)
	}
	packed := io.NewSectionReader(f.r, int64(s.offset)+gnuCompressedSize, int64(s.size)-gnuCompressedSize)
	return f.inflate(s, compressionZlib, packed, binary.BigEndian.Uint64(header[4:]), maxHeld)
}

// inflate decompresses into memory that grows with what really comes out, or to a
// Scratch.
func (f *File) inflate(s section, kind uint32, packed io.Reader, size uint64, maxHeld int) (Contents, error) {
	limit := uint64(max(maxHeld, 0))
	elsewhere := f.scratch != nil && size >= scratchFrom
	if elsewhere {
		limit = maxScratch
	}
	if size > limit {
		return Contents{}, fmt.Errorf("section %s: %d bytes, decompressed: %w", s.name, size, ErrTooLarge)
	}
	unpacked, err := decompressor(kind, packed)
	if err != nil {
		return Contents{}, fmt.Errorf("section %s: %w", s.name, err)
	}
	defer unpacked.Close()
	unpack := func(to io.Writer) error {
		n, err := io.Copy(to, io.LimitReader(unpacked, int64(size)))
		if err != nil || uint64(n) != size {
			return fmt.Errorf("section %s: %d of %d bytes could be decompressed: %w", s.name, n, size, errors.Join(err, ErrMalformed))
		}
		return nil
	}
	if elsewhere {
		scratch, err := f.scratch()
		if err != nil {
			return Contents{}, fmt.Errorf("section %s: making room for %d bytes: %w", s.name, size, err)
		}
		return Contents{ReaderAt: scratch, Size: size, Addr: s.addr}, unpack(scratch)
	}
	var data bytes.Buffer
	// A file cannot be told to be small by what it claims to become: real debug
	// information shrinks to a third or a tenth.
	data.Grow(int(min(size, 1<<20)))
	if err := unpack(&data); err != nil {
		return Contents{}, err
	}
	return Contents{ReaderAt: bytes.NewReader(data.Bytes()), Size: size, Addr: s.addr, Held: data.Cap()}, nil
}

func decompressor(kind uint32, packed io.Reader) (io.ReadCloser, error) {
	switch kind {
	case compressionZlib:
		z, err := zlib.NewReader(packed)
		if err != nil {
			return nil, fmt.Errorf("decompressing: %w: %w", err, ErrMalformed)
		}
		return z, nil
	case compressionZstd:
		z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("decompressing: %w: %w", err, ErrMalformed)
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("compression %d is not known: %w", kind, ErrMalformed)
}
