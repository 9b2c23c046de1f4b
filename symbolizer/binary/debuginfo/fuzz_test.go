package debuginfo_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
)

// A victim is a program whose debug information is changed.
type victim struct {
	data     []byte
	sections []*elf.Section
	text     *elf.Section
}

// victims are small programs by several compilers; none where there is no compiler.
func victims(t testing.TB) []victim {
	t.Helper()
	var all []victim
	for _, build := range [][]string{
		{"gcc", "-O2", "-g", "-gdwarf-5"},
		{"gcc", "-O2", "-g", "-gdwarf-4"},
		{"clang-19", "-O2", "-g", "-gdwarf-5"},
	} {
		compiler, err := exec.LookPath(build[0])
		if err != nil {
			continue
		}
		out := filepath.Join(t.TempDir(), "program")
		cmd := exec.Command(compiler, append(build[1:], "-o", out, filepath.Join("testdata", "program.c"))...)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", build, err, output)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		v := victim{data: data, text: f.Section(".text")}
		for _, s := range f.Sections {
			if strings.HasPrefix(s.Name, ".debug_") {
				v.sections = append(v.sections, s)
			}
		}
		all = append(all, v)
	}
	if len(all) == 0 {
		t.Skip("needs a C compiler")
	}
	return all
}

// exercise asks everything of a file that may be anything, and checks that what comes
// out holds together.
func exercise(t testing.TB, data []byte, addresses ...uint64) {
	t.Helper()
	file, err := binary.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return
	}
	exerciseTable(t, debuginfo.Open(file, debuginfo.Options{MaxMemory: 16 << 20}), addresses...)
}

func exerciseTable(t testing.TB, table *debuginfo.Table, addresses ...uint64) {
	t.Helper()
	for _, addr := range addresses {
		frames, err := table.Frames(addr)
		for _, f := range frames {
			if f.Function == "" || f.Line < 0 || f.StartLine < 0 {
				t.Errorf("%#x: a frame %+v", addr, f)
			}
		}
		_ = err
	}
	var all []debuginfo.Range
	for r, err := range table.Ranges() {
		if err == nil {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b debuginfo.Range) int {
		switch {
		case a.Low < b.Low:
			return -1
		case a.Low > b.Low:
			return 1
		}
		return 0
	})
	for i, r := range all {
		if r.Low >= r.High || r.Scope == nil || i > 0 && r.Low < all[i-1].High {
			t.Fatalf("range %+v after %+v", r, all[max(i-1, 0)])
		}
	}
	table.Memory()
}

// FuzzSupplement overwrites parts of the file that a program's debug information refers
// to.
func FuzzSupplement(f *testing.F) {
	programs := victims(f)
	if _, err := exec.LookPath("dwz"); err != nil {
		f.Skip("needs dwz: ", err)
	}
	dir := f.TempDir()
	first, second, common := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "common")
	for _, path := range []string{first, second} {
		if err := os.WriteFile(path, programs[0].data, 0o700); err != nil {
			f.Fatal(err)
		}
	}
	run(f, "dwz", "-m", common, first, second)
	file := openFile(f, second)
	link, ok := file.SupplementLink()
	if !ok {
		f.Fatal("dwz left no link")
	}
	shared, err := os.ReadFile(common)
	if err != nil {
		f.Fatal(err)
	}
	addresses := sampled(file, 100)
	f.Add(uint32(0x100), []byte{})
	f.Add(uint32(0x60), []byte{0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		data := bytes.Clone(shared)
		copy(data[int(at)%len(data):], patch)
		supplement, err := binary.OpenSupplement(bytes.NewReader(data), int64(len(data)), link)
		if err != nil {
			return
		}
		exerciseTable(t, debuginfo.Open(file, debuginfo.Options{MaxMemory: 16 << 20, Supplement: supplement}), addresses...)
	})
}

// FuzzDWARF overwrites parts of a program's debug information.
func FuzzDWARF(f *testing.F) {
	programs := victims(f)
	f.Add(byte(0), byte(1), uint32(0), []byte{0xff, 0xff, 0xff, 0x7f}, uint32(0))
	f.Add(byte(1), byte(1), uint32(11), []byte{0, 1, 2, 3, 4, 5}, uint32(100))
	f.Add(byte(0), byte(2), uint32(4), []byte{0x1d, 1}, uint32(200))
	f.Add(byte(2), byte(3), uint32(30), []byte{0, 9, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint32(300))
	f.Fuzz(func(t *testing.T, which, section byte, at uint32, change []byte, addr uint32) {
		v := programs[int(which)%len(programs)]
		s := v.sections[int(section)%len(v.sections)]
		data := slices.Clone(v.data)
		copy(data[s.Offset+uint64(at)%s.FileSize:s.Offset+s.FileSize], change)
		exercise(t, data, v.text.Addr+uint64(addr)%v.text.Size, uint64(addr))
	})
}

// TestRandomDamage changes many bytes at once, and cuts files off.
func TestRandomDamage(t *testing.T) {
	for which, v := range victims(t) {
		seed := uint64(which + 1)
		next := func(n uint64) uint64 {
			seed = seed*6364136223846793005 + 1442695040888963407
			return seed >> 33 % n
		}
		for range 300 {
			data := slices.Clone(v.data)
			s := v.sections[next(uint64(len(v.sections)))]
			for range 1 + next(20) {
				data[s.Offset+next(s.FileSize)] = byte(next(256))
			}
			exercise(t, data, v.text.Addr+next(v.text.Size), v.text.Addr+next(v.text.Size))
		}
		for range 20 {
			exercise(t, v.data[:next(uint64(len(v.data)))], v.text.Addr)
		}
	}
}

// A sparse is a file that goes on with zeros for as long as it says.
type sparse struct {
	data []byte
	size int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, errors.New("past the end")
	}
	clear(p)
	if off < int64(len(s.data)) {
		copy(p, s.data[off:])
	}
	return len(p), nil
}

// TestDebugInformationThatLies gives sections sizes that their file does have, being
// sparse: no memory is taken for them.
func TestDebugInformationThatLies(t *testing.T) {
	const size = 1 << 50
	for _, v := range victims(t) {
		for _, name := range []string{".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_rnglists", ".debug_ranges"} {
			data := slices.Clone(v.data)
			if !enlarge(t, data, name, 1<<45) {
				continue
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			file, err := binary.Open(sparse{data, size}, size)
			if err != nil {
				t.Fatal(err)
			}
			table := debuginfo.Open(file, debuginfo.Options{MaxMemory: 16 << 20})
			table.Frames(v.text.Addr + v.text.Size/2)
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%s: %d bytes were allocated", name, grown)
			}
		}
	}
}

// enlarge changes the size of a section in a 64-bit little-endian file.
func enlarge(t testing.TB, data []byte, name string, size uint64) bool {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(f.Sections, func(s *elf.Section) bool { return s.Name == name })
	if i < 0 {
		return false
	}
	header := f.ByteOrder.Uint64(data[40:]) + uint64(i)*64
	f.ByteOrder.PutUint64(data[header+32:], size)
	return true
}

// TestBombs checks that a compressed section costs no more memory than is allowed,
// whatever it says and whatever it becomes.
func TestBombs(t *testing.T) {
	path := program{build: []string{"gcc", "-O2", "-g", "-gz", "program.c"}}.compile(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []uint64{1 << 40, 15 << 20, 1} {
		changed := slices.Clone(data)
		f.ByteOrder.PutUint64(changed[f.Section(".debug_info").Offset+8:], size)
		file, err := binary.Open(bytes.NewReader(changed), int64(len(changed)))
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		table := debuginfo.Open(file, debuginfo.Options{MaxMemory: 16 << 20})
		runtime.ReadMemStats(&after)
		if len(table.Problems()) == 0 {
			t.Errorf("a section that says it becomes %d bytes is no problem", size)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
			t.Errorf("%d bytes were allocated, in %v", grown, time.Since(start))
		}
	}
}
