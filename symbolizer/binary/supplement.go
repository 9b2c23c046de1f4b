package binary

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
)

// A SupplementLink says which supplementary file the debug information of a file refers
// to: dwz moves into it what several files have in common.
type SupplementLink struct {
	Path    string // as dwz wrote it: relative to the file with the link, or absolute
	BuildID string // of the supplementary file, lower-case hexadecimal digits
}

// maxSupplementLink bounds the section: PATH_MAX and a build ID.
const maxSupplementLink = 4<<10 + maxBuildID

// SupplementLink returns the link of .gnu_debugaltlink, or of DWARF 5's .debug_sup, and
// false if there is none.
func (f *File) SupplementLink() (SupplementLink, bool) {
	skip := 0
	s, ok := f.section(".gnu_debugaltlink")
	if !ok {
		if s, ok = f.section(".debug_sup"); !ok {
			return SupplementLink{}, false
		}
		skip = 3 // version, and whether this is the supplementary file itself
	}
	data, err := f.read(s.offset, min(s.size, maxSupplementLink))
	if err != nil || len(data) < skip || skip > 0 && data[2] != 0 {
		return SupplementLink{}, false
	}
	path, id, found := bytes.Cut(data[skip:], []byte{0})
	if skip > 0 && len(id) > 0 {
		id = id[1:] // its length, which is less than 128
	}
	if !found || len(path) == 0 || len(id) < 8 || len(id) > maxBuildID {
		return SupplementLink{}, false
	}
	return SupplementLink{Path: string(path), BuildID: hex.EncodeToString(id)}, true
}

// OpenSupplement reads the headers of the supplementary file that a link means. Such a
// file has debug information and no code. One with another build ID is refused with
// ErrOtherBinary; the error may also be one of Open.
func OpenSupplement(r io.ReaderAt, size int64, link SupplementLink) (*File, error) {
	if size < 0 {
		return nil, fmt.Errorf("opening a supplementary file of size %d: %w", size, ErrNotELF)
	}
	f := &File{r: r, size: uint64(size)}
	header, err := f.readHeaderOf(typeRelocatable, typeExecutable, typeSharedObject)
	if err != nil {
		return nil, fmt.Errorf("reading the header of a supplementary file: %w", err)
	}
	f.readSections(header)
	if f.buildIDs, err = f.readBuildIDs(); err != nil {
		return nil, fmt.Errorf("reading the build ID of a supplementary file: %w", err)
	}
	if f.buildIDs.gnu != link.BuildID {
		return nil, fmt.Errorf("opening a supplementary file: it has build ID %q: %w", f.buildIDs.gnu, ErrOtherBinary)
	}
	return f, nil
}
