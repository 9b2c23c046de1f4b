package symbolizer_test

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/kallsyms"
)

// files is a Binaries that opens the mappings' files by path and counts.
type files struct {
	mu             sync.Mutex
	opened, closed int
}

func (f *files) Binary(m *profile.Mapping) (io.ReaderAt, int64, error) {
	file, err := os.Open(m.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return countedFile{file, f}, info.Size(), nil
}

type countedFile struct {
	*os.File
	files *files
}

func (c countedFile) Close() error {
	c.files.mu.Lock()
	c.files.closed++
	c.files.mu.Unlock()
	return c.File.Close()
}

// tool skips the test where a program is missing.
func tool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
}

// run runs a program in a directory and returns what it printed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	tool(t, name)
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
	}
	return string(out)
}

// compileC compiles a program in C.
func compileC(t testing.TB, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "functions")
	run(t, "gcc", append(flags, "-O1", "-o", path, filepath.Join("binary", "testdata", "functions.c"))...)
	return path
}

// addresses returns the functions' addresses by name, as debug/elf reads them.
func addresses(t testing.TB, path string) map[string]uint64 {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[string]uint64)
	for _, s := range symbols {
		at[s.Name] = s.Value
	}
	return at
}

// mapping returns the Mapping that the collector would write for the code at an
// ELF virtual address of a file.
func mapping(t testing.TB, path string, addr uint64) *profile.Mapping {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := binary.Open(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	s, ok := f.Executable(addr)
	if !ok {
		t.Fatalf("%s has no code at %#x", path, addr)
	}
	return &profile.Mapping{
		Start: s.Vaddr, Limit: s.Vaddr + s.Memsz, Offset: s.Offset, File: path, BuildID: f.BuildID(),
	}
}

// newProfile returns a profile with one sample for each address of a mapping,
// leaf first in one stack as well.
func newProfile(places ...place) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1,
	}
	listed := make(map[*profile.Mapping]bool)
	for i, place := range places {
		if m := place.mapping; m != nil && !listed[m] {
			listed[m] = true
			p.Mapping = append(p.Mapping, m)
			m.ID = uint64(len(p.Mapping))
		}
		l := &profile.Location{ID: uint64(i + 1), Mapping: place.mapping, Address: place.address}
		p.Location = append(p.Location, l)
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{1}})
	}
	return p
}

type place struct {
	mapping *profile.Mapping
	address uint64
}

// names returns the frames of each location, innermost first.
func names(p *profile.Profile) []string {
	var all []string
	for _, l := range p.Location {
		var frames []string
		for _, line := range l.Line {
			frames = append(frames, line.Function.Name)
		}
		all = append(all, strings.Join(frames, " < "))
	}
	return all
}

func symbolize(t testing.TB, s *symbolizer.Symbolizer, p *profile.Profile) symbolizer.Statistics {
	t.Helper()
	stats, err := s.Symbolize(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckValid(); err != nil {
		t.Fatalf("the profile is not valid any more: %v", err)
	}
	return stats
}

const kernelText = `ffffffff81000000 T _text
ffffffff81000010 t do_something
ffffffff81000050 D some_data
ffffffffc0000000 t module_function	[ext4]
ffffffffc0000100 d module_data	[ext4]
`

func TestSymbolize(t *testing.T) {
	path := compileC(t)
	at := addresses(t, path)
	native := mapping(t, path, at["main"])
	kernelTable, err := kallsyms.Parse(strings.NewReader(kernelText))
	if err != nil {
		t.Fatal(err)
	}
	kernel := &profile.Mapping{File: "[kernel.kallsyms]", Start: 0xffffffff81000000, Limit: 0xffffffffff000000}
	missing := &profile.Mapping{File: "/nowhere/lib missing.so (deleted)", Start: 0x1000, Limit: 0x2000, BuildID: "abcd"}
	anonymous := &profile.Mapping{Start: 0x7f0000000000, Limit: 0x7f0000001000}
	end := at["inner_label"] + 2
	p := newProfile(
		place{native, at["static_function"]}, place{native, at["main"] + 1}, place{native, end},
		place{kernel, 0xffffffff81000014}, place{kernel, 0xffffffffc0000020}, place{kernel, 0xffffffff81000051},
		place{missing, 0x1234}, place{anonymous, 0x7f0000000010}, place{nil, 0x99},
	)
	files := &files{}
	s := symbolizer.New(symbolizer.Config{Binaries: files, Kernel: kernelTable})
	stats := symbolize(t, s, p)

	if diff := cmp.Diff([]string{
		"static_function", "main", fmt.Sprintf("[functions+%#x]", end),
		"do_something", "module_function [ext4]", "[kernel.kallsyms+0xffffffff81000051]",
		"[lib missing.so+0x1234]", "[unknown]", "[unknown]",
	}, names(p)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]symbolizer.BinaryStatistics{
		{Locations: 2, Unnamed: map[symbolizer.Reason]int{symbolizer.NoMapping: 1, symbolizer.NoFile: 1}},
		{File: "/nowhere/lib missing.so (deleted)", BuildID: "abcd", Locations: 1,
			Unnamed: map[symbolizer.Reason]int{symbolizer.NotOpened: 1},
			Detail:  "opening the binary: open /nowhere/lib missing.so (deleted): no such file or directory"},
		{File: path, BuildID: native.BuildID, Locations: 3, Named: 2, Frames: 2,
			Unnamed: map[symbolizer.Reason]int{symbolizer.NoSymbol: 1}},
		{File: "[kernel.kallsyms]", Locations: 3, Named: 2, Frames: 2,
			Unnamed: map[symbolizer.Reason]int{symbolizer.NoSymbol: 1}},
	}, stats.Binaries); diff != "" {
		t.Errorf("statistics (-want +got):\n%s", diff)
	}
	for m, want := range map[*profile.Mapping]bool{native: true, kernel: true, missing: false, anonymous: false} {
		if m.HasFunctions != want || m.HasFilenames || m.HasLineNumbers || m.HasInlineFrames {
			t.Errorf("mapping %q says functions %t, files %t, lines %t, inlining %t; want functions %t and nothing else",
				m.File, m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if files.opened != 1 || files.closed != 1 {
		t.Errorf("%d files were opened and %d closed, want 1", files.opened, files.closed)
	}
}
