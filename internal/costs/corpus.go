package costs

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// What is looked up.
const (
	corpusBinaries  = 200
	corpusAddresses = 1_000_000
)

// A corpus is binaries of this machine and addresses of code in them, all different.
type corpus struct {
	name     string
	binaries []corpusBinary
}

// corpusBinary is one of them.
type corpusBinary struct {
	path      string
	mapping   profile.Mapping // of its executable segment
	addresses []uint64        // ELF virtual addresses, in no order
}

// findCorpus chooses the binaries beneath the folders that have function symbols and a
// build ID, with debug information or without, evenly from those with most functions
// to those with fewest.
func findCorpus(ctx context.Context, name string, debug bool, folders ...string) (corpus, error) {
	type candidate struct {
		path      string
		functions int
	}
	var candidates []candidate
	seen := map[string]bool{}
	for _, folder := range folders {
		// What cannot be listed is not there.
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil || !entry.Type().IsRegular() {
				return nil
			}
			functions, id := inspect(path, debug)
			if functions >= 30 && !seen[id] {
				seen[id] = true
				candidates = append(candidates, candidate{path, functions})
			}
			return nil
		})
		if err != nil {
			return corpus{}, err
		}
	}
	if len(candidates) < corpusBinaries {
		return corpus{}, fmt.Errorf("%d binaries of this kind were found, fewer than %d", len(candidates), corpusBinaries)
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return b.functions - a.functions })
	c := corpus{name: name}
	for i := range corpusBinaries {
		c.binaries = append(c.binaries, corpusBinary{path: candidates[i*len(candidates)/corpusBinaries].path})
	}
	return c, c.choose()
}

// inspect returns how many functions a binary of the wanted kind has symbols of, 0 for
// any other file, and its build ID.
func inspect(path string, debug bool) (functions int, id string) {
	file, err := os.Open(path)
	if err != nil {
		return 0, ""
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, ""
	}
	b, err := binary.Open(file, info.Size())
	if err != nil || len(b.DebugLink().BuildID) < 8 || b.HasContents(".debug_info") != debug {
		return 0, ""
	}
	id = b.DebugLink().BuildID
	if _, err := os.Stat(filepath.Join("/usr/lib/debug/.build-id", id[:2], id[2:]+".debug")); err == nil {
		return 0, "" // it has debug information elsewhere
	}
	symbols, err := b.Symbols()
	if err != nil {
		return 0, ""
	}
	return symbols.Len(), id
}

// choose draws the addresses: a function, and a byte of it. Small binaries have fewer
// than their share, which the large ones make up for.
func (c *corpus) choose() error {
	random := rand.New(rand.NewPCG(1, 2))
	left := corpusAddresses
	for i := len(c.binaries) - 1; i >= 0; i-- { // the smallest first
		b := &c.binaries[i]
		functions, err := b.open()
		if err != nil {
			return fmt.Errorf("choosing addresses of %s: %w", b.path, err)
		}
		want := left / (i + 1)
		seen := make(map[uint64]bool, want)
		for tries := 0; len(b.addresses) < want && tries < 20*want; tries++ {
			f := functions[random.IntN(len(functions))]
			at := f.Value + random.Uint64N(f.Size)
			if !seen[at] && at-b.mapping.Start < b.mapping.Limit-b.mapping.Start {
				seen[at] = true
				b.addresses = append(b.addresses, at)
			}
		}
		left -= len(b.addresses)
	}
	if left > 0 {
		return fmt.Errorf("the code of these binaries has %d addresses too few", left)
	}
	return nil
}

// open reads the functions of a binary and where its code is mapped.
func (b *corpusBinary) open() ([]elf.Symbol, error) {
	file, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	opened, err := binary.Open(file, info.Size())
	if err != nil {
		return nil, err
	}
	parsed, err := elf.NewFile(file)
	if err != nil {
		return nil, err
	}
	static, _ := parsed.Symbols() // either may be missing
	dynamic, _ := parsed.DynamicSymbols()
	functions := slices.DeleteFunc(append(static, dynamic...), func(s elf.Symbol) bool {
		return elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size == 0 || s.Section == elf.SHN_UNDEF
	})
	if len(functions) == 0 {
		return nil, errors.New("it has no functions")
	}
	segment, ok := opened.Executable(functions[0].Value)
	if !ok {
		return nil, errors.New("its functions are not in its code")
	}
	b.mapping = profile.Mapping{
		Start: segment.Vaddr, Limit: segment.Vaddr + segment.Filesz, Offset: segment.Offset, File: b.path, BuildID: opened.BuildID(),
	}
	return functions, nil
}

// profile returns an unnamed profile of all addresses.
func (c *corpus) profile() *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1,
	}
	for i := range c.binaries {
		b := &c.binaries[i]
		m := b.mapping
		m.ID = uint64(i + 1)
		p.Mapping = append(p.Mapping, &m)
		for _, at := range b.addresses {
			p.Location = append(p.Location, &profile.Location{ID: uint64(len(p.Location) + 1), Mapping: &m, Address: at})
		}
	}
	return p
}
