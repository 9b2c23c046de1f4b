package binary

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// A DebugLink says by what a binary knows its separate debug file, in the format of
// .gnu_debuglink (GDB's manual, "Separate Debug Files").
type DebugLink struct {
	BuildID string // GNU build ID in lower-case hexadecimal digits; "" if there is none
	Name    string // of the file, without folders; "" if there is none
	CRC     uint32 // of the file, if Name is set
}

// DebugLink returns by what the file's separate debug file is found.
func (f *File) DebugLink() DebugLink {
	link := DebugLink{BuildID: f.buildIDs.gnu}
	s, ok := f.section(".gnu_debuglink")
	if !ok {
		return link
	}
	const longest = 4 << 10 // PATH_MAX
	data, err := f.read(s.offset, min(s.size, longest))
	if err != nil {
		return link
	}
	end := bytes.IndexByte(data, 0)
	if end < 1 {
		return link
	}
	sum := (end + 4) &^ 3
	name := string(data[:end])
	if sum+4 > len(data) || strings.ContainsRune(name, '/') || name == "." || name == ".." {
		return link
	}
	link.Name, link.CRC = name, f.order.Uint32(data[sum:])
	return link
}

// Matches reports whether a file is the one that the link means: by the build ID
// where both have one, else by the checksum of all its size bytes, which is read
// whole for it.
func (l DebugLink) Matches(r io.ReaderAt, size int64, code *File) (bool, error) {
	debug, err := OpenDebug(r, size, code)
	if err != nil {
		return false, err
	}
	if debug.buildIDs.gnu != "" && debug.buildIDs.gnu == l.BuildID {
		return true, nil
	}
	if l.Name == "" || debug.buildIDs.gnu != "" {
		return false, nil
	}
	sum := crc32.NewIEEE()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, size)); err != nil {
		return false, fmt.Errorf("reading a debug file: %w", err)
	}
	return sum.Sum32() == l.CRC, nil
}

// MiniDebug returns the ELF file that a binary carries compressed in
// .gnu_debugdata: the symbols that stripping took away. It is held in memory, in at
// most maxHeld bytes; the largest programs' take some megabytes. held is how many it
// takes.
//
// The error wraps ErrNoSection where there is none, else ErrMalformed, ErrTooLarge,
// or is the reader's.
func (f *File) MiniDebug(maxHeld int) (mini *File, held int, err error) {
	packed, err := f.Contents(".gnu_debugdata", maxHeld)
	if err != nil {
		return nil, 0, err
	}
	data, err := unxz(io.NewSectionReader(packed, 0, int64(packed.Size)), maxHeld)
	if err != nil {
		return nil, 0, fmt.Errorf("section .gnu_debugdata: %w", err)
	}
	mini, err = OpenDebug(bytes.NewReader(data), int64(len(data)), f)
	return mini, len(data), err
}
