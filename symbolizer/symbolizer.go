package symbolizer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
	"github.com/narrows-profiler/narrows/symbolizer/kallsyms"
)

// KernelMapping is the File of the Mapping that kernel locations hang on, as
// perf names it.
const KernelMapping = "[kernel.kallsyms]"

// Binaries opens the binaries that mappings name. The privileged side
// implements it; it decides what a mapping's file is and may be read.
type Binaries interface {
	// Binary returns the bytes of the binary behind m and how many there are.
	// The reader is used until the Symbolizer forgets the binary, and then
	// closed if it is an io.Closer. m must not be changed.
	Binary(m *profile.Mapping) (r io.ReaderAt, size int64, err error)
}

// DebugFiles finds the separate files with the debug information of binaries. The
// privileged side implements it; it decides where to look.
type DebugFiles interface {
	// DebugFile returns the bytes of the file that want means and how many there
	// are, after checking that it is that file. m is the mapping of the binary. The
	// reader is used and closed like that of a binary. An error says that there is
	// none.
	DebugFile(m *profile.Mapping, want binary.DebugLink) (r io.ReaderAt, size int64, err error)
}

// Supplements finds the supplementary files that debug information refers to. The
// privileged side implements it; it decides where to look.
type Supplements interface {
	// Supplement returns the bytes of the file that want means and how many there are.
	// m is the mapping of the binary. The reader is used and closed like that of a
	// binary. An error says that there is none.
	Supplement(m *profile.Mapping, want binary.SupplementLink) (r io.ReaderAt, size int64, err error)
}

// A Config says what a Symbolizer names frames with.
type Config struct {
	// Binaries opens binaries. With nil, no native frame is named.
	Binaries Binaries
	// DebugFiles finds debug information outside of binaries. With nil, none is
	// looked for.
	DebugFiles DebugFiles
	// Supplements finds what dwz moved out of debug information. With nil, it is not
	// looked for.
	Supplements Supplements
	// Kernel names kernel frames; it must be of the kernel, and of the boot,
	// that was profiled. With nil, none is named.
	Kernel *kallsyms.Table
	// Indexes keeps what is known about binaries for the next time, if they have a
	// build ID and their readers can say which file they read (method Stat of
	// os.File). With nil, or where that fails, the binaries themselves are asked.
	Indexes *index.Folder
	// MaxIndexed bounds the pieces of code, each of one line of one function, that a
	// binary may have to get an index: making one takes some 60 bytes of memory for
	// each. 0 means 500,000.
	MaxIndexed int
	// Workers is how many binaries are named at once; 0 means 1. Each may take as much
	// memory as one alone. Files are asked for by one goroutine at a time, but
	// readers are read and closed by several.
	Workers int
	// MaxBinaries bounds how many binaries are kept open between calls; 0
	// means 128.
	MaxBinaries int
	// MaxMemory bounds the bytes that tables and names kept between calls
	// take, about; 0 means 256 MiB. One binary's tables are kept even if they
	// alone exceed it.
	MaxMemory int
}

// A Symbolizer names the frames of profiles, and keeps what it has read of a
// binary for the next one. It must not be used by two goroutines at once.
type Symbolizer struct {
	config  Config
	cache   cache
	opening sync.Mutex // held while files are asked for
}

// New returns a Symbolizer. Close it to close the binaries it has open.
func New(c Config) *Symbolizer {
	c.Workers = max(c.Workers, 1)
	if c.MaxBinaries <= 0 {
		c.MaxBinaries = 128
	}
	if c.MaxIndexed <= 0 {
		c.MaxIndexed = 500_000
	}
	if c.MaxMemory <= 0 {
		c.MaxMemory = 256 << 20
	}
	s := &Symbolizer{config: c}
	s.cache.init(c.MaxBinaries, c.MaxMemory)
	return s
}

// Close closes all binaries. The Symbolizer can still be used, and opens them
// again.
func (s *Symbolizer) Close() error { return s.cache.clear() }

// Symbolize names the locations of p in place. Locations that have lines are
// left alone, except for those that an earlier call could only name by their
// address: they are tried again.
//
// The flags of each mapping say what its locations have afterwards:
// HasFunctions is set if at least one has the name of a function, HasFilenames
// and HasLineNumbers if at least one has those, HasInlineFrames if at least one
// stands for several functions.
//
// Locations of the same code share the array of their lines: whoever changes the lines
// of one must give it others.
//
// A binary that cannot be opened, or is not the one that was profiled, is no
// error; Statistics says so. An error means that ctx ended, or that p is not a
// valid profile; p is then valid if it was before, with some locations named.
func (s *Symbolizer) Symbolize(ctx context.Context, p *profile.Profile) (Statistics, error) {
	if err := checkProfile(p); err != nil {
		return Statistics{}, fmt.Errorf("symbolizing: %w", err)
	}
	names := newRoster(p)
	defer names.finish()
	defer s.cache.endCall()
	groups := groupByMapping(p)
	failed := s.nameAll(ctx, names, groups)
	var stats []*BinaryStatistics
	for _, g := range groups {
		if g.stats != nil {
			names.take(g.namer, g.locations)
			stats = append(stats, g.stats)
		}
	}
	if failed != nil {
		return collect(stats), fmt.Errorf("symbolizing %q: %w", failed.stats.File, failed.err)
	}
	return collect(stats), nil
}

// A mappingGroup is the locations of one mapping; mapping is nil for those
// without.
type mappingGroup struct {
	mapping   *profile.Mapping
	locations []*profile.Location

	namer *namer
	stats *BinaryStatistics // nil until it is named
	err   error
}

func groupByMapping(p *profile.Profile) []*mappingGroup {
	index := make(map[*profile.Mapping]*mappingGroup)
	var groups []*mappingGroup
	for rest := p.Location; len(rest) > 0; {
		m, n := rest[0].Mapping, 1
		for n < len(rest) && rest[n].Mapping == m {
			n++
		}
		if g, ok := index[m]; ok {
			g.locations = append(g.locations, rest[:n]...)
		} else {
			index[m] = &mappingGroup{mapping: m, locations: rest[:n:n]} // most are one run
			groups = append(groups, index[m])
		}
		rest = rest[n:]
	}
	return groups
}

// resolver returns what names the addresses of a mapping, and notes in stats
// what concerns the binary as a whole.
func (s *Symbolizer) resolver(m *profile.Mapping, stats *BinaryStatistics) resolver {
	switch {
	case m == nil:
		return unresolved(NoMapping)
	case strings.HasPrefix(m.File, KernelMapping):
		if s.config.Kernel == nil {
			return unresolved(NoKernelSymbols)
		}
		return kernelResolver{s.config.Kernel}
	case m.File == "":
		return unresolved(NoFile)
	case s.config.Binaries == nil:
		return unresolved(NotOpened)
	}
	b, reason, err := s.open(m)
	if err != nil {
		stats.Detail = err.Error()
		return unresolved(reason)
	}
	stats.Unverified = m.BuildID == ""
	return binaryResolver{b, m}
}

// checkProfile refuses what would make the rest of this package panic; a
// profile that passed CheckValid passes.
func checkProfile(p *profile.Profile) error {
	if p == nil {
		return errors.New("no profile")
	}
	known := make(map[*profile.Mapping]bool, len(p.Mapping)+1)
	var last *profile.Mapping
	for _, m := range p.Mapping {
		if m == nil {
			return errors.New("the profile has a nil mapping")
		}
		known[m] = true
	}
	for _, f := range p.Function {
		if f == nil {
			return errors.New("the profile has a nil function")
		}
	}
	for _, l := range p.Location {
		if l == nil {
			return errors.New("the profile has a nil location")
		}
		if l.Mapping == last {
			continue // most locations hang on the same mapping as their predecessor
		}
		if last = l.Mapping; last != nil && !known[last] {
			return fmt.Errorf("location %d hangs on a mapping that the profile does not list", l.ID)
		}
	}
	return nil
}
