package symbolizer

import (
	"cmp"
	"slices"
)

// A Reason says why a location has no function's name.
type Reason string

// The reasons, as they are shown to people.
const (
	NoMapping       Reason = "no mapping"
	NoFile          Reason = "mapping without a file"
	NotOpened       Reason = "could not open the binary"
	NotELF          Reason = "not a usable ELF file"
	BuildIDDiffers  Reason = "build ID differs"
	NotCode         Reason = "address is not in an executable segment"
	NoSymbol        Reason = "no symbol covers the address"
	NoSymbols       Reason = "binary has no function symbols"
	Malformed       Reason = "malformed symbols or debug information"
	UnknownGoTable  Reason = "unknown version of Go's function table"
	NoKernelSymbols Reason = "no kernel symbols"
)

// Statistics says how much of a profile was named.
type Statistics struct {
	// Binaries has one entry for each file and build ID of the profile, in
	// order of file and build ID. Locations without a mapping are in the entry
	// without a file.
	Binaries []BinaryStatistics
}

// BinaryStatistics says how many of a binary's locations were named. Named, the
// numbers in Unnamed, and Kept add up to Locations.
type BinaryStatistics struct {
	File    string
	BuildID string // as the profile has it; may be empty

	Locations int            // distinct addresses, not samples
	Kept      int            // had names already
	Named     int            // were named by this call
	Frames    int            // functions given to those, inlined ones included
	Unnamed   map[Reason]int // were not, and why; nil if there are none

	// Detail is the error behind a reason that concerns the binary as a whole,
	// "" if there is none. It is the last one if several mappings of the binary
	// failed.
	Detail string
	// Unverified is set if names were taken from a file although the profile
	// has no build ID to compare with the file's.
	Unverified bool
}

func newBinaryStatistics(g *mappingGroup) *BinaryStatistics {
	b := &BinaryStatistics{Locations: len(g.locations)}
	if g.mapping != nil {
		b.File, b.BuildID = g.mapping.File, g.mapping.BuildID
	}
	return b
}

// unnamed counts n locations that have no name for a reason.
func (b *BinaryStatistics) unnamed(r Reason, n int) {
	if b.Unnamed == nil {
		b.Unnamed = make(map[Reason]int)
	}
	b.Unnamed[r] += n
}

// add counts what another mapping of the same binary had.
func (b *BinaryStatistics) add(other *BinaryStatistics) {
	b.Locations += other.Locations
	b.Kept += other.Kept
	b.Named += other.Named
	b.Frames += other.Frames
	for r, n := range other.Unnamed {
		b.unnamed(r, n)
	}
	b.Detail = cmp.Or(other.Detail, b.Detail)
	b.Unverified = b.Unverified || other.Unverified
}

// collect merges the statistics of mappings into those of binaries.
func collect(mappings []*BinaryStatistics) Statistics {
	type identity struct{ file, buildID string }
	byBinary := make(map[identity]*BinaryStatistics)
	for _, m := range mappings {
		id := identity{m.File, m.BuildID}
		if b, ok := byBinary[id]; ok {
			b.add(m)
		} else {
			byBinary[id] = m
		}
	}
	var s Statistics
	for _, b := range byBinary {
		s.Binaries = append(s.Binaries, *b)
	}
	slices.SortFunc(s.Binaries, func(a, b BinaryStatistics) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.BuildID, b.BuildID))
	})
	return s
}
