package symbolizer_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

func openFolder(t testing.TB, dir string) *index.Folder {
	t.Helper()
	f, err := index.OpenFolder(dir, "this test", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// described is all that a profile says of its locations.
func described(p *profile.Profile) []string {
	var all []string
	for _, l := range p.Location {
		text := fmt.Sprintf("%#x", l.Address)
		for _, line := range l.Line {
			text += fmt.Sprintf(" | %s %s %s:%d %d", line.Function.Name, line.Function.SystemName, line.Function.Filename, line.Line, line.Function.StartLine)
		}
		all = append(all, text)
	}
	for _, m := range p.Mapping {
		all = append(all, fmt.Sprint(m.File, m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames))
	}
	return all
}

// randomPlaces returns addresses all over a binary's executable segment, code or not.
func randomPlaces(t testing.TB, path string, count int, seed uint64) []place {
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
	b, err := binary.Open(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	var places []place
	random := rand.New(rand.NewPCG(seed, 0))
	for span := range b.Code() {
		m := mapping(t, path, span.Low)
		for range count {
			places = append(places, place{m, span.Low + random.Uint64N(span.High-span.Low)})
		}
	}
	return append(places, place{mapping(t, path, places[0].address), 1 << 60})
}

// realBinaries are a C library, C++ and Go programs, and this test, as far as they are
// here: with and without debug information.
func realBinaries(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{self}
	for _, pattern := range []string{"/lib/*/libc.so.6", "/lib/*/libstdc++.so.6", "/usr/bin/bash", "/usr/lib/*/libasan.so.*", filepath.Join(strings.TrimSpace(run(t, "go", "env", "GOROOT")), "bin/gofmt")} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(matches) > 0 {
			paths = append(paths, matches[0])
		}
	}
	return paths
}

// TestNamesAreTheSameByIndex names the same places without an index, when the index is
// made, when it is read, when a partial one is read and when it has to grow.
func TestNamesAreTheSameByIndex(t *testing.T) {
	for _, path := range realBinaries(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "narrows")
			for seed, count := range []int{50, 300, 300, 8_000, 300} {
				places := randomPlaces(t, path, count, uint64(seed))
				direct := symbolizer.New(symbolizer.Config{Binaries: &files{}})
				want := newProfile(places...)
				wantStats := symbolize(t, direct, want)
				for _, when := range []string{"made", "read"} {
					s := symbolizer.New(symbolizer.Config{Binaries: &files{}, Indexes: openFolder(t, dir)})
					for range 2 { // the second time with what is kept between calls
						got := newProfile(places...)
						stats := symbolize(t, s, got)
						if diff := cmp.Diff(described(want), described(got)); diff != "" {
							t.Fatalf("%d places, index %s (-without +with):\n%s", count, when, diff)
						}
						if diff := cmp.Diff(wantStats, stats); diff != "" {
							t.Fatalf("%d places, index %s (-without +with):\n%s", count, when, diff)
						}
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if err := direct.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("the folder has %v, %v; want one index", entries, err)
			}
		})
	}
}

// reads counts what is read of a file that can say which one it is.
type reads struct {
	*os.File
	bytes *int
}

func (r reads) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.File.ReadAt(p, off)
	*r.bytes += n
	return n, err
}

// countingFiles opens mapped files and counts the bytes that are read of them.
type countingFiles struct{ bytes int }

func (c *countingFiles) Binary(m *profile.Mapping) (io.ReaderAt, int64, error) {
	f, err := os.Open(m.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return reads{f, &c.bytes}, info.Size(), nil
}

// TestIndexSparesReadingTheBinary counts bytes: the second time only headers are read.
func TestIndexSparesReadingTheBinary(t *testing.T) {
	path := realBinaries(t)[1]
	dir := filepath.Join(t.TempDir(), "narrows")
	var took []int
	for range 2 {
		c := &countingFiles{}
		s := symbolizer.New(symbolizer.Config{Binaries: c, Indexes: openFolder(t, dir)})
		symbolize(t, s, newProfile(randomPlaces(t, path, 500, 1)...))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		took = append(took, c.bytes)
	}
	if took[1] > 64<<10 || took[0] < 4*took[1] {
		t.Errorf("%d bytes of %s were read at first, and %d the second time", took[0], path, took[1])
	}
}

// TestIndexIsOfTheVeryFile checks that the names of one file never come from the index
// of another with the same build ID, and that a changed file gets a new index.
func TestIndexIsOfTheVeryFile(t *testing.T) {
	id := "-Wl,--build-id=0x00112233445566778899aabbccddeeff00112233"
	honest := compileC(t, id)
	forged := compileC(t, id, "-Dstatic_function=forged_function")
	dir := filepath.Join(t.TempDir(), "narrows")
	for _, test := range []struct{ path, want string }{
		{forged, "forged_function"}, {honest, "static_function"}, {honest, "static_function"}, {forged, "forged_function"},
	} {
		s := symbolizer.New(symbolizer.Config{Binaries: &files{}, Indexes: openFolder(t, dir)})
		at := addresses(t, test.path)[test.want]
		p := newProfile(place{mapping(t, test.path, at), at})
		symbolize(t, s, p)
		if got := names(p)[0]; got != test.want {
			t.Errorf("%s is named %s", test.want, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The same path with other content, as after an upgrade that kept the build ID.
	data, err := os.ReadFile(forged)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond) // the clock of file systems is coarse
	if err := errors.Join(os.Remove(honest), os.WriteFile(honest, data, 0o755)); err != nil {
		t.Fatal(err)
	}
	at := addresses(t, honest)["forged_function"]
	s := symbolizer.New(symbolizer.Config{Binaries: &files{}, Indexes: openFolder(t, dir)})
	p := newProfile(place{mapping(t, honest, at), at})
	symbolize(t, s, p)
	if got := names(p)[0]; got != "forged_function" {
		t.Errorf("after the file was replaced: %s", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// debugFile gives the same debug file for every binary, if it exists.
type debugFile string

func (d debugFile) DebugFile(*profile.Mapping, binary.DebugLink) (io.ReaderAt, int64, error) {
	f, err := os.Open(string(d))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// TestDebugFileReplacesTheIndex has a debug file appear and disappear.
func TestDebugFileReplacesTheIndex(t *testing.T) {
	whole := compileC(t, "-g")
	at := addresses(t, whole)["static_function"]
	stripped, debug := filepath.Join(t.TempDir(), "functions"), filepath.Join(t.TempDir(), "functions.debug")
	run(t, "objcopy", "--strip-all", whole, stripped)
	dir := filepath.Join(t.TempDir(), "narrows")
	look := func() string {
		s := symbolizer.New(symbolizer.Config{Binaries: &files{}, DebugFiles: debugFile(debug), Indexes: openFolder(t, dir)})
		p := newProfile(place{mapping(t, stripped, at), at})
		symbolize(t, s, p)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return names(p)[0]
	}
	nameless := fmt.Sprintf("[functions+%#x]", at)
	for _, want := range []string{nameless, nameless} {
		if got := look(); got != want {
			t.Errorf("without a debug file: %s", got)
		}
	}
	run(t, "objcopy", "--only-keep-debug", whole, debug)
	for range 2 {
		if got := look(); got != "static_function" {
			t.Errorf("with a debug file: %s", got)
		}
	}
	if err := os.Remove(debug); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != nameless {
		t.Errorf("when the debug file has gone: %s", got)
	}
}

// TestDamagedIndexCostsNoNames damages an index in every block.
func TestDamagedIndexCostsNoNames(t *testing.T) {
	path := realBinaries(t)[1]
	dir := filepath.Join(t.TempDir(), "narrows")
	places := randomPlaces(t, path, 500, 1)
	want := newProfile(places...)
	fill := func() string {
		s := symbolizer.New(symbolizer.Config{Binaries: &files{}, Indexes: openFolder(t, dir)})
		defer s.Close()
		symbolize(t, s, newProfile(places...))
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Fatalf("the folder has %v, %v", entries, err)
		}
		return filepath.Join(dir, entries[0].Name())
	}
	symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), want)
	name := fill()
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := 100; at < len(good); at += 4096 * max(1, len(good)/4096/40) {
		damaged := []byte(string(good))
		damaged[at] ^= 0x10
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s := symbolizer.New(symbolizer.Config{Binaries: &files{}, Indexes: openFolder(t, dir)})
		got := newProfile(places...)
		symbolize(t, s, got)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(described(want), described(got)); diff != "" {
			t.Fatalf("byte %d changed (-want +got):\n%s", at, diff)
		}
	}
}

// TestUnusableFolderCostsNoNames takes the folder away while it is used.
func TestUnusableFolderCostsNoNames(t *testing.T) {
	path := realBinaries(t)[1]
	places := randomPlaces(t, path, 200, 1)
	want := newProfile(places...)
	symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), want)
	dir := filepath.Join(t.TempDir(), "narrows")
	folder, err := index.OpenFolder(dir, "this test", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(dir), folder.Close()); err != nil {
		t.Fatal(err)
	}
	s := symbolizer.New(symbolizer.Config{Binaries: &files{}, Indexes: folder})
	got := newProfile(places...)
	symbolize(t, s, got)
	if diff := cmp.Diff(described(want), described(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
