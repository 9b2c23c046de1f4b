package binary

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"
)

// ContentPrefix begins the identity of a file without any build ID. Neither a
// GNU build ID (hexadecimal digits) nor a Go one (its alphabet is base64 and a
// slash) has a colon.
const ContentPrefix = "content:"

// maxBuildID bounds a build ID: SHA-512 has 64 bytes, Go's text about 90.
const maxBuildID = 256

// buildIDs are the identities a file carries; each may be empty but content is
// set where both others are empty.
type buildIDs struct {
	gnu, golang, content string
}

// BuildID returns the file's identity: the GNU build ID as lower-case
// hexadecimal digits; without one, the text of Go's build ID as `go tool
// buildid` prints it; without either, ContentPrefix and a hash of the code. The
// last is the same for a file before and after stripping, and is no build ID
// that a linker wrote. It is never empty.
func (f *File) BuildID() string {
	switch {
	case f.buildIDs.gnu != "":
		return f.buildIDs.gnu
	case f.buildIDs.golang != "":
		return f.buildIDs.golang
	}
	return f.buildIDs.content
}

// HasBuildID reports whether id is an identity of this file: a Go executable
// may have both a GNU and a Go build ID, and profilers differ in which they
// write down.
func (f *File) HasBuildID(id string) bool {
	if id == "" {
		return false
	}
	return id == f.buildIDs.golang || id == f.buildIDs.content || strings.ToLower(id) == f.buildIDs.gnu
}

func (f *File) readBuildIDs() (buildIDs, error) {
	var notes []region
	for _, p := range f.programs {
		if p.kind == segmentNote {
			notes = append(notes, region{p.offset, p.filesz})
		}
	}
	for _, s := range f.sections {
		if s.kind == sectionNote {
			notes = append(notes, region{s.offset, s.size})
		}
	}
	var ids buildIDs
	for _, n := range notes[:min(len(notes), maxNotes)] {
		f.scanNotes(n, &ids)
	}
	if ids.gnu != "" || ids.golang != "" {
		return ids, nil
	}
	content, err := f.hashCode()
	ids.content = ContentPrefix + content
	return ids, err
}

// scanNotes looks for build IDs among notes. The layout of a note is in the
// gABI, "Note Section"; names and descriptors are padded to 4 bytes.
func (f *File) scanNotes(notes region, ids *buildIDs) {
	data, err := f.read(notes.offset, min(notes.size, maxNoteBytes))
	if err != nil {
		return
	}
	for len(data) >= 12 {
		nameSize, descSize := uint64(f.order.Uint32(data)), uint64(f.order.Uint32(data[4:]))
		kind := f.order.Uint32(data[8:])
		data = data[12:]
		descAt := (nameSize + 3) &^ 3
		if descAt > uint64(len(data)) || descSize > uint64(len(data))-descAt {
			return
		}
		name, desc := string(data[:nameSize]), data[descAt:descAt+descSize]
		if 0 < descSize && descSize <= maxBuildID {
			switch {
			case kind == noteGNUBuildID && name == "GNU\x00" && ids.gnu == "":
				ids.gnu = hex.EncodeToString(desc)
			case kind == noteGoBuildID && name == "Go\x00\x00" && ids.golang == "" && isGoBuildID(desc):
				ids.golang = string(desc)
			}
		}
		data = data[min((descAt+descSize+3)&^3, uint64(len(data))):]
	}
}

// isGoBuildID reports whether text can be a Go build ID: printable, without
// spaces, and without the colon that marks an identity by content.
func isGoBuildID(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return true
}

// hashCode hashes where the executable segments lie and what the first four of
// them hold; linkers make one or two.
func (f *File) hashCode() (string, error) {
	h := sha256.New()
	hashed := 0
	for _, p := range f.programs {
		if !p.executable() || p.offset > f.size {
			continue
		}
		var place [24]byte
		binary.LittleEndian.PutUint64(place[:], p.vaddr)
		binary.LittleEndian.PutUint64(place[8:], p.filesz)
		binary.LittleEndian.PutUint64(place[16:], p.memz)
		h.Write(place[:])
		if hashed++; hashed > 4 {
			continue
		}
		if err := f.hashSegment(h, region{p.offset, min(p.filesz, f.size-p.offset)}); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:20]), nil
}

// hashSegment hashes all of a segment of up to 16 MiB; of a larger one its
// first and last 4 MiB and 2,048 pages evenly spread over the rest, which bounds
// the cost for files of any size.
func (f *File) hashSegment(h hash.Hash, r region) error {
	const (
		whole = 16 << 20
		edge  = 4 << 20
		pages = 2048
		page  = 4096
	)
	if r.size <= whole {
		return f.hashBytes(h, r)
	}
	if err := f.hashBytes(h, region{r.offset, edge}); err != nil {
		return err
	}
	step := (r.size - 2*edge) / pages
	for i := range uint64(pages) {
		if err := f.hashBytes(h, region{r.offset + edge + i*step, min(page, step)}); err != nil {
			return err
		}
	}
	return f.hashBytes(h, region{r.offset + r.size - edge, edge})
}

func (f *File) hashBytes(h hash.Hash, r region) error {
	var chunk [64 << 10]byte
	for r.size > 0 {
		part := chunk[:min(r.size, uint64(len(chunk)))]
		if err := f.readInto(part, r.offset); err != nil {
			return err
		}
		h.Write(part)
		r.offset, r.size = r.offset+uint64(len(part)), r.size-uint64(len(part))
	}
	return nil
}
