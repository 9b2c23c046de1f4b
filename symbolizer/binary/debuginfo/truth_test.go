package debuginfo_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
)

// sampledAddresses is how many addresses of each program are compared.
func sampledAddresses() int {
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		return 10_000
	}
	return 1_000
}

// sampled returns random addresses of a file's code.
func sampled(f *binary.File, n int) []uint64 {
	random := rand.New(rand.NewPCG(1, 2))
	var spans []binary.CodeSpan
	total := uint64(0)
	for s := range f.Code() {
		spans = append(spans, s)
		total += s.High - s.Low
	}
	addresses := make([]uint64, n)
	for i := range addresses {
		at := random.Uint64N(total)
		for _, s := range spans {
			if size := s.High - s.Low; at >= size {
				at -= size
			} else {
				addresses[i] = s.Low + at
				break
			}
		}
	}
	return addresses
}

// A program is a file whose names are compared.
type program struct {
	name  string
	build []string // compiler and flags; the source is appended
	full  bool     // only with NARROWS_TEST_FULL
	split bool     // its debug information is elsewhere
	few   bool     // addr2line knows few of its lines
	after []string // a program that changes the file, and its flags
}

var programs = []program{
	{name: "C++, DWARF 5", build: []string{"g++", "-O2", "-g", "-gdwarf-5", "program.cc"}},
	{name: "C++, DWARF 4", build: []string{"g++", "-O2", "-g", "-gdwarf-4", "program.cc"}},
	{name: "C++, DWARF 5 by clang", build: []string{"clang++-19", "-O2", "-g", "-gdwarf-5", "program.cc"}},
	{name: "C, compressed", build: []string{"gcc", "-O2", "-g", "-gz", "program.c"}},
	{name: "Rust", build: []string{"rustc", "-g", "-O", "program.rs"}},

	{name: "C++, DWARF 4 by clang", build: []string{"clang++-19", "-O3", "-g", "-gdwarf-4", "program.cc"}, full: true},
	{name: "C++, type units", build: []string{"g++", "-O2", "-g", "-gdwarf-4", "-fdebug-types-section", "program.cc"}, full: true},
	{name: "C++, type units of DWARF 5", build: []string{"g++", "-O3", "-g", "-gdwarf-5", "-fdebug-types-section", "program.cc"}, full: true},
	{name: "C++, one section a function", build: []string{"g++", "-Os", "-g", "-ffunction-sections", "-Wl,--gc-sections", "program.cc"}, full: true},
	{name: "C++, optimized when linked", build: []string{"g++", "-O2", "-g", "-flto", "program.cc"}, full: true},
	{name: "C++, not optimized", build: []string{"g++", "-O0", "-g", "program.cc"}, full: true},
	{name: "C++, static", build: []string{"g++", "-O2", "-g", "-static", "program.cc"}, full: true, few: true},
	{name: "C++, 64-bit DWARF", build: []string{"g++", "-O2", "-g", "-gdwarf64", "program.cc"}, full: true, few: true},
	{name: "C++, DWARF 3", build: []string{"g++", "-O2", "-g", "-gdwarf-3", "-gstrict-dwarf", "program.cc"}, full: true},
	{name: "C, DWARF 2", build: []string{"gcc", "-O2", "-g", "-gdwarf-2", "-gstrict-dwarf", "program.c"}, full: true},
	{name: "C, compressed as it once was", build: []string{"gcc", "-O2", "-g", "-gz=zlib-gnu", "program.c"}, full: true, few: true},
	{name: "C, compressed by zstd", build: []string{"gcc", "-O2", "-g", "program.c"}, few: true, after: []string{"llvm-objcopy-19", "--compress-debug-sections=zstd"}},
	{name: "C, split", build: []string{"gcc", "-O2", "-g", "-gsplit-dwarf", "program.c"}, split: true},
}

// build compiles a program of testdata, or skips the test.
func (p program) compile(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "program")
	source, err := filepath.Abs(filepath.Join("testdata", p.build[len(p.build)-1]))
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(p.build[1:len(p.build)-1]), "-o", out, source)
	cmd := exec.Command(tool(t, p.build[0]), args...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		if p.full {
			t.Skipf("%s cannot build this: %v\n%s", p.build[0], err, output)
		}
		t.Fatalf("%v: %v\n%s", p.build, err, output)
	}
	if p.after != nil {
		run(t, p.after[0], append(slices.Clone(p.after[1:]), out)...)
	}
	return out
}

// TestAgainstAddr2line compares functions, the functions that they are inlined into,
// and lines at random addresses of programs by several compilers.
func TestAgainstAddr2line(t *testing.T) {
	for _, p := range programs {
		if p.full && os.Getenv("NARROWS_TEST_FULL") == "" {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			path := p.compile(t)
			f := openFile(t, path)
			table := debuginfo.Open(f, debuginfo.Options{})
			addresses := sampled(f, sampledAddresses())
			var j *judge
			if !p.split {
				j = newJudge(t, path, addresses)
			}
			a := against(t, table, j, path, addresses, addr2line(t, path, addresses))
			counts, ok := table.DWARFCounts()
			if !ok || counts.Units == 0 || counts.Malformed+counts.MalformedLines > 0 || !p.split && len(table.Problems()) > 0 {
				t.Errorf("debug information: %+v, problems %v", counts, table.Problems())
			}
			if p.split != (counts.Split > 0) {
				t.Errorf("%d units have their functions elsewhere", counts.Split)
			}
			if a.same+a.judged < len(addresses)*7/10 || !p.split && !p.few && a.lines < len(addresses)/2 {
				t.Error("too little was compared to show anything")
			}
			checkRanges(t, table, addresses)
		})
	}
}

// against compares the table's answers with references, and prints how they agree.
func against(t testing.TB, table *debuginfo.Table, j *judge, path string, addresses []uint64, references [][]reference) agreement {
	t.Helper()
	return againstNamed(t, table, j, newAliases(t, path), addresses, references)
}

func againstNamed(t testing.TB, table *debuginfo.Table, j *judge, names aliases, addresses []uint64, references [][]reference) agreement {
	t.Helper()
	var a agreement
	for i, want := range references {
		got, err := table.Frames(addresses[i])
		if err != nil {
			t.Errorf("Frames(%#x): %v", addresses[i], err)
		}
		a.compare(t, j, names, addresses[i], got, want)
	}
	t.Log(a)
	if a.wrong > 0 || a.otherStack > 0 || a.otherLines > 0 {
		t.Errorf("%d wrong functions, %d wrong callers, %d wrong lines", a.wrong, a.otherStack, a.otherLines)
	}
	return a
}

// checkRanges checks that the ranges do not overlap and that each answers as Frames
// does, and that they leave out nothing that has a function.
func checkRanges(t testing.TB, table *debuginfo.Table, addresses []uint64) {
	t.Helper()
	var all []debuginfo.Range
	for r, err := range table.Ranges() {
		if err != nil {
			t.Errorf("Ranges: %v", err)
			continue
		}
		if r.Low >= r.High || r.Scope == nil {
			t.Fatalf("a range of nothing: %+v", r)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b debuginfo.Range) int { return int(int64(a.Low - b.Low)) })
	for i := 1; i < len(all); i++ {
		if all[i].Low < all[i-1].High {
			t.Fatalf("ranges overlap: %+v and %+v", all[i-1], all[i])
		}
	}
	for _, addr := range addresses {
		want, err := table.Frames(addr)
		if err != nil {
			t.Fatal(err)
		}
		i, found := slices.BinarySearchFunc(all, addr, func(r debuginfo.Range, addr uint64) int {
			switch {
			case addr < r.Low:
				return 1
			case addr >= r.High:
				return -1
			}
			return 0
		})
		var got []debuginfo.Frame
		if found {
			got = all[i].Frames()
		}
		if !slices.Equal(got, want) {
			t.Errorf("%#x: the range has %s, Frames %s", addr, stack(got), stack(want))
		}
	}
	checkRangesOf(t, table, addresses)
}

// checkRangesOf checks that each wanted address is in one range that answers as Frames
// does, or in none if Frames has none.
func checkRangesOf(t testing.TB, table *debuginfo.Table, addresses []uint64) {
	t.Helper()
	for _, every := range []int{1, 10, 500} {
		var wanted []uint64
		for i := 0; i < len(addresses); i += every {
			wanted = append(wanted, addresses[i])
		}
		slices.Sort(wanted)
		wanted = slices.Compact(wanted)
		within := func(low, high uint64) []uint64 {
			from, _ := slices.BinarySearch(wanted, low)
			to, _ := slices.BinarySearch(wanted, high)
			return wanted[from:max(from, to)]
		}
		got := map[uint64][]debuginfo.Frame{}
		for r, err := range table.RangesOf(func(low, high uint64) bool { return len(within(low, high)) > 0 }) {
			if err != nil {
				t.Errorf("RangesOf: %v", err)
				continue
			}
			inside := within(r.Low, r.High)
			if len(inside) == 0 {
				t.Errorf("a range in which nothing is wanted: %+v", r)
			}
			for _, addr := range inside {
				if got[addr] != nil {
					t.Errorf("%#x is in two ranges", addr)
				}
				got[addr] = r.Frames()
			}
		}
		for _, addr := range wanted {
			if want, err := table.Frames(addr); err != nil || !slices.Equal(got[addr], want) {
				t.Errorf("%#x, one of %d: the range has %s, Frames %s, %v", addr, len(wanted), stack(got[addr]), stack(want), err)
			}
		}
	}
}

// systemLibrary returns a library of this host and its separate debug file, or skips
// the test.
func systemLibrary(t testing.TB, pattern string) (library, debug string) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Skipf("this host has no %s", pattern)
	}
	id := openFile(t, found[0]).BuildID()
	debug = filepath.Join("/usr/lib/debug/.build-id", id[:2], id[2:]+".debug")
	if _, err := os.Stat(debug); err != nil {
		t.Skipf("the package with the debug information of %s is not installed: %v", found[0], err)
	}
	return found[0], debug
}

// TestLibraryAgainstAddr2line compares what is known of libc with and without its
// debug file. addr2line always has that.
func TestLibraryAgainstAddr2line(t *testing.T) {
	path, debug := systemLibrary(t, "/lib/*/libc.so.6")
	f := openFile(t, path)
	addresses := sampled(f, sampledAddresses())
	references := addr2line(t, path, addresses)
	names := newAliases(t, path)
	for name, all := range newAliases(t, debug) {
		names[name] = append(names[name], all...)
	}
	t.Run("debug file", func(t *testing.T) {
		file, err := os.Open(debug)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		separate, err := binary.OpenDebug(file, info.Size(), f)
		if err != nil {
			t.Fatal(err)
		}
		table := debuginfo.Open(f, debuginfo.Options{Debug: separate})
		a := againstNamed(t, table, newJudge(t, debug, addresses), names, addresses, references)
		if a.same < len(addresses)*9/10 || a.lines+a.judgedLines < len(addresses)*9/10 {
			t.Error("too little was compared to show anything")
		}
		checkRanges(t, table, addresses)
	})
	t.Run("symbols alone", func(t *testing.T) {
		table := debuginfo.Open(f, debuginfo.Options{})
		outermost := make([][]reference, len(references))
		for i, r := range references {
			outermost[i] = []reference{{function: r[len(r)-1].function}}
		}
		a := againstNamed(t, table, nil, names, addresses, outermost)
		if a.same < len(addresses)/10 {
			t.Error("too little was compared to show anything")
		}
		checkRanges(t, table, addresses)
	})
}

// TestGoAgainstAddr2line compares with Go's own tool.
func TestGoAgainstAddr2line(t *testing.T) {
	path := buildGo(t, false)
	f := openFile(t, path)
	table := debuginfo.Open(f, debuginfo.Options{})
	addresses := sampled(f, sampledAddresses())
	var a agreement
	names := newAliases(t, path)
	for i, want := range goAddr2line(t, path, addresses) {
		got, err := table.Frames(addresses[i])
		if err != nil {
			t.Errorf("Frames(%#x): %v", addresses[i], err)
		}
		if len(got) > 0 {
			// The tool prints the function that has the code, with the line of the
			// innermost one.
			got = []debuginfo.Frame{{Function: got[len(got)-1].Function, File: got[0].File, Line: got[0].Line}}
		}
		a.compare(t, nil, names, addresses[i], got, want)
	}
	t.Log(a)
	if a.wrong > 0 || a.otherStack > 0 || a.otherLines > 0 || a.same < len(addresses)*7/10 {
		t.Error("names or lines differ")
	}
	checkRanges(t, table, addresses)
}

// goAddr2line returns what Go's tool says, which prints two lines an address.
func goAddr2line(t testing.TB, path string, addresses []uint64) [][]reference {
	t.Helper()
	var input bytes.Buffer
	for _, addr := range addresses {
		fmt.Fprintf(&input, "%#x\n", addr)
	}
	cmd := exec.Command(tool(t, "go"), "tool", "addr2line", path)
	cmd.Stdin = &input
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go tool addr2line: %v", err)
	}
	var all [][]reference
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		r := reference{function: strings.TrimSuffix(lines.Text(), "?")}
		if !lines.Scan() {
			t.Fatal("go tool addr2line ended within an answer")
		}
		r.file, r.line = place(lines.Text())
		all = append(all, []reference{r})
	}
	if len(all) != len(addresses) {
		t.Fatalf("go tool addr2line answered %d of %d addresses", len(all), len(addresses))
	}
	return all
}

// buildGo builds the Go program that package binary is tested with.
func buildGo(t testing.TB, cgo bool) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "goprogram")
	cmd := exec.Command(tool(t, "go"), "build", "-o", out, ".")
	cmd.Dir = filepath.Join("..", "testdata", "goprogram")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if cgo {
		tool(t, "gcc")
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1", "CGO_CFLAGS=-g -O2")
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building a Go program: %v\n%s", err, output)
	}
	return out
}
