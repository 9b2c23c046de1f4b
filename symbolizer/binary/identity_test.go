package binary_test

import (
	"bytes"
	"debug/elf"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

func TestBuildIDOfGNU(t *testing.T) {
	path := compileC(t, "-O1", "-Wl,--build-id=sha1")
	want := regexp.MustCompile(`Build ID: ([0-9a-f]+)`).FindSubmatch(run(t, "readelf", "-n", path))
	if want == nil {
		t.Fatal("readelf shows no build ID")
	}
	f := openFile(t, path)
	if got := f.BuildID(); got != string(want[1]) {
		t.Errorf("build ID %s, readelf says %s", got, want[1])
	}
	if !f.HasBuildID(strings.ToUpper(string(want[1]))) || f.HasBuildID("") || f.HasBuildID(string(want[1][1:])) {
		t.Error("HasBuildID is wrong about its own, none, or another's build ID")
	}
}

func TestBuildIDOfGo(t *testing.T) {
	path := buildGo(t, "local", goVariant{flags: []string{"-ldflags=-B=none"}})
	want := strings.TrimSpace(string(run(t, "go", "tool", "buildid", path)))
	if got := openFile(t, path).BuildID(); got != want {
		t.Errorf("build ID %s, go tool buildid says %s", got, want)
	}
	both := openFile(t, buildGo(t, "local", goVariant{}))
	if !both.HasBuildID(both.BuildID()) || !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(both.BuildID()) {
		t.Errorf("a Go program's GNU build ID is %q", both.BuildID())
	}
}

// TestBuildIDOfNone checks the identity by content: stripping keeps it, other
// code changes it.
func TestBuildIDOfNone(t *testing.T) {
	path := compileC(t, "-O1", "-Wl,--build-id=none")
	id := openFile(t, path).BuildID()
	if !strings.HasPrefix(id, binary.ContentPrefix) || len(id) < len(binary.ContentPrefix)+32 {
		t.Errorf("identity %q", id)
	}
	if other := openFile(t, compileC(t, "-O2", "-Wl,--build-id=none")).BuildID(); other == id {
		t.Error("two programs have the same identity")
	}
	run(t, "strip", path)
	if stripped := openFile(t, path).BuildID(); stripped != id {
		t.Errorf("identity %s after stripping, %s before", stripped, id)
	}
}

// TestSegment compares with the program headers that debug/elf reads.
func TestSegment(t *testing.T) {
	path := compileC(t, "-O1", "-fPIE", "-pie")
	f := openFile(t, path)
	reference, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	executable := 0
	for _, p := range reference.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		code := p.Flags&elf.PF_X != 0
		for _, offset := range []uint64{p.Off, p.Off + p.Filesz - 1} {
			s, ok := f.Segment(offset)
			if ok != code {
				t.Errorf("Segment(%#x) = %t, want %t", offset, ok, code)
			}
			if !ok {
				continue
			}
			executable++
			want := binary.Segment{Offset: p.Off, Vaddr: p.Vaddr, Filesz: p.Filesz, Memsz: p.Memsz}
			if s != want || s.Address(offset) != p.Vaddr+offset-p.Off {
				t.Errorf("Segment(%#x) = %+v at %#x, want %+v", offset, s, s.Address(offset), want)
			}
			if e, ok := f.Executable(s.Address(offset)); !ok || e != want {
				t.Errorf("Executable(%#x) = %+v, %t", s.Address(offset), e, ok)
			}
		}
		if code {
			if _, ok := f.Segment(p.Off + p.Filesz); ok {
				t.Errorf("the byte after the segment, %#x, counts as code", p.Off+p.Filesz)
			}
		}
	}
	if executable != 2 {
		t.Errorf("%d ends of executable segments, want 2", executable)
	}
}

// TestTruncated opens every prefix of a file's first bytes, and a sample of the
// longer ones.
func TestTruncated(t *testing.T) {
	path := buildGo(t, "local", goVariant{})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := 1
	for size := 0; size < len(data); size += step {
		if size > 1024 {
			step = len(data) / 300
		}
		exercise(data[:size], 0x401000)
		// What the size promises the reader may not have.
		f, err := binary.Open(bytes.NewReader(data[:size]), int64(len(data)))
		if err == nil {
			f.Symbols()
			f.GoTable()
		}
	}
	if _, err := binary.Open(bytes.NewReader(data), -1); err == nil {
		t.Error("a negative size was accepted")
	}
}

// exercise does with hostile bytes all that this package can, and returns how
// many frames it found.
func exercise(data []byte, addr uint64) int {
	f, err := binary.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return 0
	}
	found := 0
	f.BuildID()
	f.HasBuildID("x")
	segment, _ := f.Segment(addr)
	f.Executable(addr)
	if symbols, err := f.Symbols(); err == nil {
		for _, a := range []uint64{addr, addr + 1, segment.Vaddr, segment.Vaddr + segment.Filesz/2} {
			if symbol, ok := symbols.Lookup(a); ok {
				symbols.Name(symbol)
				found++
			}
		}
	}
	for _, name := range []string{".eh_frame", ".debug_frame"} {
		if section, err := f.Contents(name, 1<<20); err == nil {
			section.ReadAt(make([]byte, 16), 0)
		}
	}
	f.FrameHeader()
	f.Needs()
	f.Loaded(addr)
	if table, err := f.GoTable(); err == nil {
		table.Functions(func(fn *binary.GoFunction) bool {
			found += len(fn.Depths)
			return true
		})
		for i := range uint64(64) {
			frames, _ := table.Frames(addr + i*97)
			found += len(frames)
		}
		ranges := 0
		for range table.Ranges(func(low, high uint64) bool { return true }) {
			if ranges++; ranges == 300 {
				break
			}
		}
	}
	if link := f.DebugLink(); len(data) < 64<<10 { // it may read all of it
		link.Matches(bytes.NewReader(data), int64(len(data)), f)
	}
	f.Stubs()
	f.MiniDebug(1 << 20)
	for s := range f.Code() {
		f.Executable(s.Low)
	}
	for _, name := range []string{".text", ".debug_info", ".gnu_debuglink"} {
		f.Contents(name, 1<<20)
	}
	return found
}
