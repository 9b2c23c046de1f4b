package binary

import (
	"bytes"
	"fmt"
)

// A GoSpan is the code of a Go function: ELF virtual addresses, with the padding behind it.
type GoSpan struct{ Entry, End uint64 }

// maxGoNames bounds how many bytes of names Find reads. A program with a million functions
// has some 60 MB of them.
const maxGoNames = 256 << 20

// Find returns where the functions with these names are, as the linker calls them. What
// is not in the table, because it was inlined everywhere or left out, is not in the answer.
//
// The error wraps ErrMalformed where the table contradicts itself, or is what the reader
// answered.
func (t *GoTable) Find(names ...string) (map[string]GoSpan, error) {
	byOffset, err := t.nameOffsets(names)
	if err != nil {
		return nil, fmt.Errorf("looking for names of Go functions: %w", err)
	}
	lookups := t.window
	t.window = window{block: 32 << 10}
	defer func() { t.window = lookups }()
	found := make(map[string]GoSpan, len(names))
	for i, fn := range t.functions {
		if len(found) == len(byOffset) {
			break
		}
		const nameWord = 4 // of runtime._func
		offset, err := t.word(t.records, uint64(fn.record)+nameWord)
		if err != nil {
			return nil, fmt.Errorf("reading the Go function at %#x: %w", t.text+uint64(fn.entry), err)
		}
		name, ok := byOffset[uint64(offset)]
		if !ok {
			continue
		}
		end := t.end
		if i+1 < len(t.functions) {
			end = t.functions[i+1].entry
		}
		found[name] = GoSpan{t.text + uint64(fn.entry), t.text + uint64(end)}
	}
	return found, nil
}

// Function returns the function that has the code at the ELF virtual address addr, and
// false if none of the table has it. Inlined code belongs to what it was inlined into.
func (t *GoTable) Function(addr uint64) (GoSpan, bool) {
	if !t.Covers(addr) {
		return GoSpan{}, false
	}
	i, end := t.find(uint32(addr-t.text)), t.end
	if i+1 < len(t.functions) {
		end = t.functions[i+1].entry
	}
	return GoSpan{t.text + uint64(t.functions[i].entry), t.text + uint64(end)}, true
}

// nameOffsets says where in the table of names these are.
func (t *GoTable) nameOffsets(names []string) (map[uint64]string, error) {
	if t.names.size > maxGoNames {
		return nil, fmt.Errorf("%d bytes of names: %w", t.names.size, ErrMalformed)
	}
	all, err := t.file.read(t.names.offset, t.names.size)
	if err != nil {
		return nil, err
	}
	offsets := make(map[uint64]string, len(names))
	for _, name := range names {
		// Each name ends in a zero byte, and begins the table or follows that of another.
		if bytes.HasPrefix(all, []byte(name+"\x00")) {
			offsets[0] = name
		} else if at := bytes.Index(all, []byte("\x00"+name+"\x00")); at >= 0 {
			offsets[uint64(at)+1] = name
		}
	}
	return offsets, nil
}

// ReadCode returns the bytes of the file between two ELF virtual addresses, both in one
// executable segment.
func (f *File) ReadCode(from, until uint64) ([]byte, error) {
	s, ok := f.Executable(from)
	if !ok || until < from || until-from > s.Filesz-(from-s.Vaddr) {
		return nil, fmt.Errorf("code from %#x to %#x is in no executable segment: %w", from, until, ErrMalformed)
	}
	return f.read(s.Offset+from-s.Vaddr, until-from)
}

// FileOffset says where in the file the code at an ELF virtual address is.
func (f *File) FileOffset(addr uint64) (uint64, bool) {
	s, ok := f.Executable(addr)
	return s.Offset + addr - s.Vaddr, ok
}
